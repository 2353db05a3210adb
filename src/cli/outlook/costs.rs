//! What others will bill for what is read.

use crate::{
    config::{Config, Read},
    sources::cloudwatch,
};

/// What AWS will bill for what is asked of CloudWatch.
pub(in crate::cli) fn costs(config: &Config) -> Vec<String> {
    let mut all: Vec<(&cloudwatch::Options, Vec<&cloudwatch::Spec>)> = vec![];
    for poll in &config.polls {
        let Read::CloudWatch(options, spec) = &poll.read else { continue };
        match all.iter_mut().find(|(alike, _)| *alike == &**options) {
            Some((_, specs)) => specs.push(spec),
            None => all.push((options, vec![spec])),
        }
    }
    let cost = |(options, specs): (&cloudwatch::Options, Vec<&cloudwatch::Spec>)| {
        let cost = cloudwatch::cost(specs.into_iter(), options.period);
        let (place, every) = (options.access.place(), options.period);
        let (metrics, usd, as_of) = (cost.metrics, cost.usd_a_month, cloudwatch::PRICE_AS_OF);
        let asked = format!(
            "CloudWatch of {place} is asked for {metrics} metrics every {every}: about {usd:.2} USD in 30 days, by the prices of {as_of}"
        );
        match cost.searches {
            0 => asked,
            1 => format!(
                "{asked}; what one expression finds beside them (SEARCH, METRICS, SELECT) is billed too, and not counted here"
            ),
            more => format!(
                "{asked}; what {more} expressions find beside them (SEARCH, METRICS, SELECT) is billed too, and not counted here"
            ),
        }
    };
    all.into_iter().map(cost).collect()
}
