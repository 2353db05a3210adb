//! The image that an annotation names, set on a real API server: exactly what the plan says, and only on what was seen.

use rollbackd::{
    domain::{
        plan::{Action, DeploymentAt},
        previous::{Names, NewImage},
        run::{Outcome, Report},
    },
    kubernetes::previous::Options,
    sources::kubernetes::{self, Seen, Wanted, Watched},
    units::Span,
};
use serde_json::json;

use super::{
    cluster::Cluster,
    place::{self, Place, now, options},
    undo::{Hands, image_of, refusal},
};
use crate::rig::eventually;

/// A Deployment whose annotations are read.
struct Noted {
    place: Place,
    watched: Watched,
    reading: Options,
    hands: Hands,
}

impl Noted {
    async fn new(cluster: &Cluster, annotation: &str, image_prefix: &str) -> Self {
        let place = Place::new(cluster).await;
        let mut reached = options(cluster, &place.namespace, None);
        reached.previous = [annotation.to_owned()].into();
        let watched = Watched::new(reached);
        tokio::spawn(kubernetes::watch(watched.clone()));
        place.deploy("1.4.2").await;
        place.until_serves("1.4.2").await;
        let hands = Hands::new(&place, cluster, None);
        let reading = Options { annotation: annotation.into(), image_prefix: image_prefix.into() };
        Self { place, watched, reading, hands }
    }

    async fn annotate(&self, annotation: &str, says: Option<&str>) {
        self.place.patch(json!({ "metadata": { "annotations": { annotation: says } } })).await;
    }

    fn seen(&self) -> Seen {
        let said = Wanted { previous: Some(&self.reading), ..Wanted::default() };
        self.watched.see_but(&self.place.key(), Some("app"), said, now())
    }

    async fn until(&self, what: &str, is_so: impl Fn(Option<&Names>) -> bool) -> Names {
        eventually(what, place::SOON, async || {
            let seen = self.seen().inventory;
            let names = seen.previous().map(|previous| previous.names.clone());
            // Until it is watched at all nobody knows that there is none.
            (seen.linked.is_some() && is_so(names.as_ref()))
                .then(|| names.unwrap_or(Names::Nothing("none".into())))
        })
        .await
    }

    async fn until_names(&self, image: &str) -> NewImage {
        let is =
            |names: Option<&Names>| matches!(names, Some(Names::Image(it)) if it.image == image);
        match self.until(image, is).await {
            Names::Image(new) => *new,
            Names::Nothing(why) => panic!("{why}"),
        }
    }

    /// As the plan is made from what is seen now.
    fn planned(&self, new: &NewImage) -> Action {
        let seen = self.seen().inventory;
        let uid = seen.place_of_itself().uid;
        let (cluster, namespace) = ("main".into(), self.place.namespace.clone());
        Action::DeploymentImage {
            at: DeploymentAt { cluster, namespace, name: "shop".into(), uid },
            from: seen.linked.unwrap(),
            to: new.revision.clone(),
            container: new.container.clone(),
            image: new.image.clone(),
        }
    }

    async fn sets(&self, action: &Action, resumed: bool) -> Report {
        self.hands.carry_out(action.clone(), Span::seconds(20), resumed).await
    }
}

#[tokio::test]
async fn the_image_that_an_annotation_names_is_set_and_nothing_else() {
    let cluster = Cluster::shared();
    let noted = Noted::new(cluster, "shop.example/previous-version", "").await;
    noted.annotate("shop.example/previous-version", Some("1.4.1")).await;
    let new = noted.until_names("registry.invalid/shop:1.4.1").await;
    let action = noted.planned(&new);
    // Who starts the pods anew, or scales, changes no version.
    let at_noon = json!({ "kubectl.kubernetes.io/restartedAt": "2026-11-27T12:00:00Z" });
    let restart = json!({ "template": { "metadata": { "annotations": at_noon } }, "replicas": 4 });
    noted.place.patch(json!({ "spec": restart })).await;
    let report = noted.sets(&action, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let set = noted.place.until_serves("1.4.1").await.inventory;
    assert_eq!(set.linked, Some(new.revision.clone()), "the very version that was planned");
    let deployment = noted.place.deployments.get("shop").await.unwrap();
    let spec = deployment.spec.unwrap();
    assert_eq!(spec.replicas, Some(4), "scaling is another matter");
    assert_eq!(json!(spec.template.metadata.unwrap().annotations), at_noon);
    let annotations = deployment.metadata.annotations.unwrap();
    assert_eq!(annotations["shop.example/previous-version"], "1.4.1", "it is not ours");
    assert!(annotations["rollbackd.dev/rolled-back"].contains("run-7"));
    // Twice is once.
    assert_eq!(noted.sets(&action, false).await.outcome, Outcome::AlreadyDone);
    assert_eq!(noted.sets(&action, true).await.outcome, Outcome::Done);
    let now = noted.place.deployments.get("shop").await.unwrap().metadata;
    assert_eq!(now.generation, deployment.metadata.generation);
}

#[tokio::test]
async fn whoever_deploys_before_the_named_image_is_set_wins() {
    let cluster = Cluster::shared();
    let noted = Noted::new(cluster, "previous-version", "mirror.invalid/eu").await;
    noted.annotate("previous-version", Some("1.4.1")).await;
    let new = noted.until_names("mirror.invalid/eu/shop:1.4.1").await;
    let action = noted.planned(&new);
    noted.place.set_image("1.4.3", "the fix").await;
    let report = noted.sets(&action, false).await;
    let (why, retry) = refusal(&report);
    assert!(why.contains("somebody deployed in between") && !retry, "{why}");
    assert_eq!(image_of(&noted.place).await, "registry.invalid/shop:1.4.3");
    // One that was taken for another than it is sets nothing.
    let Action::DeploymentImage { at, to, container, .. } = action else { unreachable!() };
    let linked =
        |seen: &Seen| seen.inventory.linked.clone().filter(|it| it.version.starts_with("1.4.3+"));
    let from = eventually("the fix", place::SOON, async || linked(&noted.seen())).await;
    let image = "registry.invalid/shop:other".to_owned();
    let action = Action::DeploymentImage { at, from, to, container, image };
    let report = noted.sets(&action, false).await;
    assert!(refusal(&report).0.contains("as the plan says"), "{report:?}");
    assert_eq!(image_of(&noted.place).await, "registry.invalid/shop:1.4.3");
}

#[tokio::test]
async fn an_annotation_that_is_missing_or_no_tag_names_nothing_and_says_so() {
    let cluster = Cluster::shared();
    let noted = Noted::new(cluster, "previous-version", "").await;
    noted.until("no annotation", |names| names.is_none()).await;
    for (says, why) in [
        ("registry.invalid/shop:1.4.1", "it says \"registry.invalid/shop:1.4.1\", which is no tag"),
        ("1.4.1; rm", "it says \"1.4.1; rm\", which is no tag"),
        ("", "it says \"\", which is no tag"),
        (&"9".repeat(10_000), "it says \"9999"),
    ] {
        noted.annotate("previous-version", Some(says)).await;
        let is = |names: Option<&Names>| matches!(names, Some(Names::Nothing(it)) if it.starts_with(why));
        let Names::Nothing(said) = noted.until(why, is).await else { unreachable!() };
        assert!(said.contains("write the tag alone") && said.len() < 300, "{said}");
    }
    noted.annotate("previous-version", None).await;
    noted.until("it is gone", |names| names.is_none()).await;
}
