//! Services that nobody wrote down: how they are found, and what is true of each.

use crate::config::{Discovery, Each, Finding};

/// What each of them is called in sentences that are true of any.
pub(super) const NAME: &str = "NAME";

/// Who is found, and who goes.
pub(super) fn found(discovery: &Discovery) -> Vec<String> {
    let Discovery { finding, every, options, .. } = discovery;
    let (most, factor, doubt) = (options.services_max, options.doubt_factor, options.doubt_for);
    let (forget, silent) = (options.forget_after, options.silent_for);
    let (asked, named) = match finding {
        Finding::Query { server, query, label } => (
            format!("prometheus {server} is asked every {every}: {}", one_line(query)),
            format!(
                "each value of the label {label} in the answer is the {NAME} of a service, at most {most} of them"
            ),
        ),
        Finding::Annotation { options, annotation } => (
            format!(
                "{} is asked every {every} for Deployments with {annotation}: \"true\"",
                options.place()
            ),
            format!(
                "each is a service, at most {most} of them; its {NAME} is NAMESPACE.DEPLOYMENT"
            ),
        ),
    };
    vec![
        asked,
        named,
        format!("{NAME} is letters, digits and . _ -; another one is told and left out"),
        "one that is written in the file stays as it is written".to_owned(),
        format!(
            "an answer with more than {factor} times as many as are known is told, and the new ones wait until it has stayed \
             so for {doubt}"
        ),
        format!(
            "an answer with nobody, or with less than one in {factor}, is told, and lets nobody go"
        ),
        format!(
            "one that no other answer names for {forget} is not watched any more, unless it has an open incident"
        ),
        format!(
            "people are told when there has been no answer for {silent}; who is known stays watched"
        ),
    ]
}

fn one_line(query: &str) -> String {
    query.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The name that stands for any, as people are to read it.
pub(super) fn plainly(each: &Each, lines: &mut [String]) {
    let stand_in = each.policy.id.name();
    for line in lines {
        *line = line.replace(stand_in, NAME);
    }
}
