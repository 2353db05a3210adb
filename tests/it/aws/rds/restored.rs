//! One instance is made of a snapshot, and no second; of the next one where that fails.

use std::time::Duration;

use rollbackd::{
    domain::{plan::Action, rds::RUN_TAG, run::Outcome},
    units::Span,
};

use super::bench::{Bench, RESTORE, RUN, old, why};
use crate::{aws::proxy::Twist, rig::eventually};

fn refuse(code: &'static str) -> Twist {
    Twist::Refuse { status: 400, code, said: "" }
}

#[tokio::test]
async fn a_new_one_is_made_with_every_setting_of_the_old_one_and_waited_for() {
    let bench = Bench::new("whole").await;
    let mut what = bench.planned().await;
    // As RDS shows them of every gp3.
    (what.settings.iops, what.settings.throughput) = (Some(3_000), Some(125));
    let [newest, older] = what.candidates.as_slice() else { panic!("{what:?}") };
    assert!(newest.snapshot.ends_with("-newest") && newest.taken_at >= older.taken_at);
    let new = newest.restored.clone();
    bench.face(&new, |face| face.statuses = ["creating", "backing-up", "modifying"].into());
    let report = bench.restores(&what, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    for status in ["`creating`", "`backing-up`", "`modifying`"] {
        assert!(report.output.contains(status), "{report:?}");
    }
    assert!(report.after.contains("is available at"), "{report:?}");
    assert_eq!((bench.asked(), bench.made().await), (1, vec![new]));
    let asked = bench.proxy.asked(RESTORE)[0].text();
    for part in [
        format!("DBSnapshotIdentifier={}-newest", bench.name),
        "DBInstanceClass=db.m6g.large".into(),
        "MultiAZ=true".into(),
        "StorageType=gp3".into(),
        "AllocatedStorage=100".into(),
        "Port=5432".into(),
        "DBSubnetGroupName=default".into(),
        "DBParameterGroupName=default.postgres15".into(),
        "CACertificateIdentifier=rds-ca-rsa2048-g1".into(),
        "BackupRetentionPeriod=1".into(),
        format!("Key={}", RUN_TAG.replace(':', "%3A")),
        format!("Value={RUN}"),
    ] {
        assert!(asked.contains(&part), "{part}: {asked}");
    }
    for part in ["Iops=", "StorageThroughput="] {
        assert!(!asked.contains(part), "of so little storage nobody may ask for it: {asked}");
    }
    let report = bench.restores(&what, false).await;
    assert_eq!((report.outcome, bench.asked()), (Outcome::AlreadyDone, 1));
    let seen = bench.seen().await;
    assert_eq!(seen.source.endpoint, Some(old()), "the old one is as it was");
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_one_and_neither_does_a_daemon_that_was_ended() {
    let bench = Bench::new("lost").await;
    let what = bench.planned().await;
    let new = what.candidates[0].restored.clone();
    bench.face(&new, |face| face.statuses = ["creating", "creating"].into());
    bench.proxy.twist(RESTORE, 1, Twist::Lost);
    let report = bench.restores(&what, false).await;
    assert_eq!((report.outcome, bench.asked()), (Outcome::Done, 1));
    assert_eq!(bench.made().await, std::slice::from_ref(&new));
    // Whoever begins again finds it under way, and waits for that.
    bench.face(&new, |face| face.statuses = ["creating", "creating"].into());
    let report = bench.restores(&what, true).await;
    assert_eq!((report.outcome, bench.asked()), (Outcome::Done, 1));
    assert!(report.before.contains("made by this run"), "{}", report.before);
    // An answer that was cut before the effect is asked for again.
    let bench = Bench::new("cut").await;
    let what = bench.planned().await;
    bench.proxy.twist(RESTORE, 1, Twist::Cut);
    bench.proxy.twist(RESTORE, 1, refuse("Throttling"));
    let report = bench.restores(&what, false).await;
    assert_eq!((report.outcome, bench.asked()), (Outcome::Done, 3));
    assert_eq!(bench.made().await.len(), 1);
}

#[tokio::test]
async fn where_rds_fails_at_one_the_next_older_snapshot_is_taken_and_what_is_left_is_named() {
    let bench = Bench::new("next").await;
    let what = bench.planned().await;
    let [first, second] = [0, 1].map(|nth| what.candidates[nth].restored.clone());
    bench.face(&first, |face| {
        face.statuses = vec!["incompatible-restore"; 9].into();
        face.statuses.push_front("creating");
    });
    let report = bench.restores(&what, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.after.contains(&format!("{second} is available")), "{report:?}");
    assert!(report.output.contains("it is `incompatible-restore`"), "{report:?}");
    assert!(report.left.contains(&format!("{first}, which cannot be used")), "{report:?}");
    // People have deleted it: a daemon that begins again goes on with the second.
    let gone = bench.clients.rds().delete_db_instance().db_instance_identifier(&first);
    gone.skip_final_snapshot(true).send().await.unwrap();
    let report = bench.restores(&what, true).await;
    assert_eq!((report.outcome, bench.asked()), (Outcome::Done, 2));
    assert_eq!(bench.made().await, [second]);
}

#[tokio::test]
async fn a_snapshot_that_was_deleted_or_made_anew_is_not_restored() {
    let bench = Bench::new("gone").await;
    let what = bench.planned().await;
    let deletes = async |name: &str| {
        let asked = bench.clients.rds().delete_db_snapshot();
        let name = format!("{}-{name}", bench.name);
        asked.db_snapshot_identifier(name).send().await.unwrap();
    };
    deletes("newest").await;
    let report = bench.restores(&what, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.output.contains("the snapshot is not there any more"), "{report:?}");
    let bench = Bench::new("anew").await;
    let mut what = bench.planned().await;
    what.candidates.truncate(1);
    what.candidates[0].taken_at = what.candidates[0].taken_at - Span::hours(1);
    let report = bench.restores(&what, false).await;
    assert!(why(&report).contains("another snapshot has that name now"), "{report:?}");
    assert_eq!(bench.asked(), 0);
}

#[tokio::test]
async fn after_the_last_people_get_a_text_for_aws_with_the_ids_of_what_was_asked() {
    let bench = Bench::new("none").await;
    let what = bench.planned().await;
    bench.proxy.twist(RESTORE, 2, refuse("InvalidDBSnapshotState"));
    let report = bench.restores(&what, false).await;
    assert!(report.unmoved, "what was stopped may run on: {report:?}");
    let why = why(&report);
    for part in [
        "none of 2 could be restored",
        "InvalidDBSnapshotState",
        "is as it was",
        "For a case with AWS's support",
        &what.arn,
        "Request ids: rig-1",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(bench.made().await.is_empty());
}

#[tokio::test]
async fn older_data_is_taken_only_for_what_is_wrong_with_the_newer_snapshot() {
    let bench = Bench::new("reasons").await;
    let what = bench.planned().await;
    for (nth, code) in ["StorageQuotaExceeded", "InvalidParameterCombination"].iter().enumerate() {
        bench.proxy.twist(RESTORE, 1, refuse(code));
        let report = bench.restores(&what, false).await;
        assert!(
            why(&report).contains(&format!("it was not made: rds:{RESTORE} was refused ({code})")),
            "{report:?}"
        );
        assert!(
            report.unmoved && why(&report).contains("For a case with AWS's support"),
            "{report:?}"
        );
        assert_eq!(bench.asked(), nth + 1, "the older one is not begun");
    }
    for code in ["InsufficientDBInstanceCapacity", "InvalidDBClusterStateFault"] {
        bench.proxy.twist(RESTORE, 3, refuse(code));
    }
    let report = bench.restores(&what, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.output.contains("until it is made"), "{report:?}");
    assert_eq!((bench.asked(), bench.made().await), (9, vec![what.candidates[0].restored.clone()]));
    let bench = Bench::new("no-room").await;
    let what = bench.planned().await;
    bench.proxy.twist(RESTORE, usize::MAX, refuse("InsufficientDBInstanceCapacity"));
    let action = Action::RdsRestore { what: Box::new(what) };
    let report = bench.attempt_within(action, false, Span(400)).await;
    assert!(why(&report).contains("was not made: rds:RestoreDB"), "{report:?}");
    assert!(report.unmoved && report.left.is_empty(), "{report:?}");
}

#[tokio::test]
async fn what_somebody_else_made_by_that_name_is_let_be() {
    let bench = Bench::new("theirs").await;
    let what = bench.planned().await;
    let new = &what.candidates[0].restored;
    let made = bench.clients.rds().create_db_instance().db_instance_identifier(new);
    let made = made.engine("postgres").db_instance_class("db.t3.micro");
    let made = made.master_username("x").master_user_password("hunter2hunter2");
    made.send().await.unwrap();
    bench.face(new, |face| face.run = Some("run-6".into()));
    let report = bench.restores(&what, false).await;
    assert!(why(&report).contains("that this rollback did not make"), "{report:?}");
    assert_eq!(bench.asked(), 0);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_the_kill_switch_holds() {
    let bench = Bench::new("denied").await;
    let what = bench.planned().await;
    bench.proxy.twist(RESTORE, 1, refuse("AccessDenied"));
    let report = bench.restores(&what, false).await;
    assert!(why(&report).contains("allow rds:RestoreDBInstanceFromDBSnapshot"), "{report:?}");
    std::fs::write(bench.home.path().join("HOLD"), "").unwrap();
    let report = bench.restores(&what, false).await;
    assert!(matches!(report.outcome, Outcome::Withheld { .. }), "{report:?}");
    assert_eq!((bench.asked(), bench.made().await.len()), (1, 0));
}

#[tokio::test]
async fn one_that_takes_too_long_is_left_to_itself_and_named() {
    let bench = Bench::new("slow").await;
    let what = bench.planned().await;
    let new = what.candidates[0].restored.clone();
    bench.face(&new, |face| face.statuses = vec!["creating"; 1_000].into());
    let action = Action::RdsRestore { what: Box::new(what) };
    let meanwhile = eventually("it says how far it is", Duration::from_secs(10), async || {
        Some(bench.progress()).filter(|said| said.contains("`creating`"))
    });
    let (report, said) = tokio::join!(bench.attempt_within(action, false, Span(400)), meanwhile);
    assert!(said.contains(&new) && bench.progress().is_empty(), "{said}");
    assert!(why(&report).contains("is still `creating` and goes on by itself"), "{report:?}");
    assert!(report.left.contains(&new) && report.unmoved, "{report:?}");
    assert_eq!((bench.asked(), bench.made().await), (1, vec![new]), "the older one is not begun");
}
