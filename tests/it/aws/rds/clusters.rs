//! An Aurora cluster, which comes back with as many instances as it has. Who plays RDS here makes no cluster of a snapshot: an empty one
//! is made in its place.

use rollbackd::domain::{
    rds::{Form, RdsRestore},
    run::Outcome,
};

use super::bench::{Bench, old, why};
use crate::aws::proxy::Twist;

const RESTORE: &str = "RestoreDBClusterFromSnapshot";
const ADD: &str = "CreateDBInstance";

fn instead() -> Twist {
    Twist::Instead {
        asked: |asked| {
            let user = "&MasterUsername=app&MasterUserPassword=hunter2hunter2";
            asked.replace(RESTORE, "CreateDBCluster") + user
        },
        said: |said| said.replace("CreateDBCluster", RESTORE),
    }
}

/// A cluster with a writer and a reader, and a snapshot of it.
async fn cluster(name: &str) -> (Bench, RdsRestore) {
    Box::pin(async {
        let bench = Bench::without_anything(name, Form::Cluster).await;
        let rds = bench.clients.rds();
        let made = rds.create_db_cluster().db_cluster_identifier(&bench.name);
        let made = made.engine("aurora-postgresql").master_username("app");
        Box::pin(made.master_user_password("hunter2hunter2").send()).await.unwrap();
        for (instance, class) in [("a", "db.r6g.xlarge"), ("b", "db.r6g.large")] {
            let id = format!("{}-{instance}", bench.name);
            let made = rds.create_db_instance().db_instance_identifier(id);
            let made = made.db_cluster_identifier(&bench.name).engine("aurora-postgresql");
            Box::pin(made.db_instance_class(class).send()).await.unwrap();
        }
        let taken = rds.create_db_cluster_snapshot().db_cluster_identifier(&bench.name);
        let taken = taken.db_cluster_snapshot_identifier(format!("{}-night", bench.name));
        taken.send().await.unwrap();
        bench.face(&bench.name.clone(), |face| face.endpoint = Some(old()));
        bench.proxy.twist(RESTORE, 9, instead());
        let what = bench.planned().await;
        for nth in 0..2 {
            let member = what.candidates[0].member(nth);
            bench.face(&member, |face| face.run = Some(super::bench::RUN.into()));
        }
        (bench, what)
    })
    .await
}

#[tokio::test]
async fn a_cluster_comes_back_with_instances_like_its_own_the_writer_first() {
    let (bench, mut what) = cluster("aurora").await;
    what.beside.push("Performance Insights".into());
    let new = &what.candidates[0];
    assert_eq!((what.candidates.len(), what.members.len()), (1, 2), "{what:?}");
    bench.face(&new.restored, |face| face.endpoint = Some(old()));
    bench.face(&new.member(1), |face| face.statuses = ["creating", "creating"].into());
    bench.proxy.twist(ADD, 1, Twist::Lost);
    let report = bench.restores(&what, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.after.contains("is available at 127.0.0.1:5432"), "{report:?}");
    assert_eq!(bench.made().await[2..], [new.member(0), new.member(1)]);
    let asked = bench.proxy.asked(RESTORE)[0].text();
    for part in
        [format!("SnapshotIdentifier={}-night", bench.name), "Engine=aurora-postgresql".into()]
    {
        assert!(asked.contains(&part), "{part}: {asked}");
    }
    let added = bench.proxy.asked(ADD);
    assert_eq!(added.len(), 2, "one for each, also where an answer got lost");
    for (asked, class) in added.iter().zip(["db.r6g.xlarge", "db.r6g.large"]) {
        let text = asked.text();
        assert!(text.contains(&format!("DBInstanceClass={class}")), "{text}");
        assert!(text.contains(&format!("DBClusterIdentifier={}", new.restored)), "{text}");
        assert!(text.contains("rollbackd%3Arun"), "{text}");
    }
    assert!(report.left.contains("to be done by hand for"), "{report:?}");
    let report = bench.restores(&what, true).await;
    assert_eq!((report.outcome, bench.proxy.asked(ADD).len()), (Outcome::Done, 2));
    assert_eq!(bench.proxy.asked(RESTORE).len(), 1);
}

#[tokio::test]
async fn a_cluster_whose_writer_cannot_be_made_is_not_the_one() {
    let (bench, what) = cluster("broken").await;
    let new = &what.candidates[0];
    bench.face(&new.member(0), |face| face.statuses = vec!["incompatible-network"; 9].into());
    let report = bench.restores(&what, false).await;
    let why = why(&report);
    assert!(why.contains(&format!("its instance {}: it is `incompat", new.member(0))), "{why}");
    assert!(report.left.contains(&new.restored), "{report:?}");
}
