//! Databases, and what of them is a service's.

use super::{loaded, refused};
use crate::{
    config::{Teller, load_text},
    databases::{Kind, Tls, checks::Asks},
    domain::{integrity::Expects, runbook::StopWrites},
    units::Span,
};

#[test]
fn a_services_database_is_the_one_that_it_names_or_the_only_one() {
    let (config, _) = loaded(
        "[database.shop]\nurl = 'mysql://rollbackd@db/shop'\ntls = 'prefer'\n\
         [service.shop]\nwatch_only = true\n[service.shop.database]\nhistory_table = 'audit.history'\nevery = '5s'",
    );
    let (id, database) = config.databases.iter().next().unwrap();
    let options = &database.history().unwrap().options;
    assert_eq!((options.database.kind, options.tls), (Kind::Mysql, Tls::Prefer));
    assert_eq!(
        (database.history().unwrap().name.to_string().as_str(), database.every),
        ("audit.history", Span::seconds(5))
    );
    let policy = config.policy.services[id].database.as_ref().unwrap();
    assert_eq!((policy.place.as_str(), policy.stuck_after), ("shop at db:3306", Span::minutes(30)));
    let (config, _) = loaded("[service.shop]\nwatch_only = true");
    assert!(config.databases.is_empty());
}

#[test]
fn checks_of_the_data_are_asked_at_the_replica_within_their_share() {
    let (config, _) = loaded(
        "[database.shop]\nurl = 'postgres://x@db/shop'\nreplica_url = 'postgres://x@replica/shop'\nchecks_share = '10%'\n\
         [service.shop]\nwatch_only = true\n\
         [service.shop.database.check.orphans]\nquery = 'SELECT 1 WHERE false; '\nno_row = true\nstatement_timeout = '3s'\n\
         [service.shop.database.check.orders]\nquery = 'with x as (select 1) select * from x'\nwithin = [1, 2.5]\nevery = '1h'",
    );
    let (id, database) = config.databases.iter().next().unwrap();
    assert_eq!(database.history().unwrap().options.database.host, "db");
    let (orders, orphans) = (&database.checks["orders"], &database.checks["orphans"]);
    assert_eq!(orphans.asks, Asks::Query("SELECT 1 WHERE false".into()));
    assert_eq!((orphans.every_watched, orders.every_watched), (Span::minutes(1), Span::minutes(1)));
    assert_eq!((orphans.every, orphans.confirm_after), (Span::minutes(5), Span::seconds(10)));
    assert_eq!(orphans.options.statement_timeout, Span::seconds(3));
    assert_eq!((orphans.share, orders.every), (0.1, Span::hours(1)));
    let policy = &config.policy.services[id].checks;
    assert_eq!(policy["orders"].expects, Expects::Within { low: 1.0, high: 2.5 });
    assert_eq!(policy["orphans"].expects, Expects::NoRow);
    assert_eq!(policy["orphans"].place, "shop at replica:5432");
}

#[test]
fn foreign_keys_are_those_of_the_schema_of_the_history_and_a_number_may_fall_by_its_share() {
    let (config, _) = loaded(
        "[database.shop]\nurl = 'postgres://x@db/shop'\n[service.shop]\nwatch_only = true\n\
         [service.shop.database]\nhistory_table = 'audit.history'\n\
         [service.shop.database.check]\n\
         keys = { foreign_keys = true, foreign_keys_max = 7, every = '5s' }\n\
         people = { query = 'SELECT count(*) FROM people', drops_at_most = '5%' }",
    );
    let checks = &config.databases.values().next().unwrap().checks;
    let asks = Asks::ForeignKeys { schema: Some("audit".into()), most: 7 };
    assert_eq!((&checks["keys"].asks, checks["keys"].expects), (&asks, Expects::ForeignKeys));
    assert_eq!(checks["keys"].every_watched, Span::seconds(5));
    assert_eq!(checks["people"].expects, Expects::DropsAtMost { share: 0.05 });
}

#[test]
fn a_replica_may_be_behind_and_what_it_shows_counts_that_much_later() {
    let (config, _) = loaded(
        "[database.shop]\nurl = 'postgres://x@db/shop'\nreplica_url = 'postgres://x@replica/shop'\nreplica_lag_max = '30s'\n\
         [service.shop]\nwatch_only = true\n\
         [service.shop.database.check]\nkeys = { foreign_keys = true }",
    );
    let checks = &config.databases.values().next().unwrap().checks;
    let lag = &checks["replica-lag"];
    assert_eq!(lag.expects, Expects::LagAtMost { max: Span::seconds(30) });
    assert_eq!(lag.options.database.host, "replica");
    let Asks::Lag { primary } = &lag.asks else { panic!("{:?}", lag.asks) };
    assert_eq!(primary.database.host, "db");
    assert_eq!(checks["keys"].policy().shows_after, Span::seconds(30));
    let told = refused(
        "[database.shop]\nurl = 'postgres://x@db/shop'\nreplica_lag_max = '30s'\n\
         [service.shop]\nwatch_only = true\n\
         [service.shop.database.check]\nreplica-lag = { foreign_keys = true }",
    );
    for part in ["there is no replica that could be behind", "makes a check of that name"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn every_fault_of_a_check_is_told_at_once() {
    let told = refused(
        "[database.shop]\nurl = 'postgres://x@db/shop'\nreplica_url = 'mysql://x@db/shop'\n\
         [database.other]\nurl = 'postgres://x@db/shop'\nchecks_share = '90%'\n\
         [service.shop]\nwatch_only = true\ndatabase.from = 'other'\n\
         [service.shop.database.check]\n\
         a = { query = 'DELETE FROM orders', no_row = true }\n\
         b = { query = 'SELECT 1; DELETE FROM orders', no_row = true }\n\
         c = { query = 'SELECT 1' }\n\
         d = { query = 'SELECT 1', no_row = true, within = [1, 2] }\n\
         e = { query = 'SELECT 1', within = [2, 1] }\n\
         f = { query = 'SELECT 1', no_row = false }\n\
         'g h' = { query = 'SELECT 1', no_row = true, every = '0s' }\n\
         i = { query = 'SELECT 1', foreign_keys = true }\n\
         j = { no_row = true }\n\
         k = { query = 'SELECT 1', drops_at_most = '100%' }\n\
         l = { foreign_keys = true, foreign_keys_max = 0 }",
    );
    for part in [
        "a replica is of the family",
        "checks cannot take that share",
        "it does not begin with SELECT or WITH",
        "there is more than one statement in it",
        "what the answer of the check `c` must be",
        "it must be two things at once",
        "these are no bounds",
        "nobody knows what its answer must be",
        "`g h` cannot be a check's name",
        "foreign keys are asked by no query",
        "nobody knows what the check `j` asks",
        "a number cannot fall by that and be one",
        "takes no time at all",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn every_fault_of_a_database_is_told_at_once_and_no_password_with_it() {
    let told = refused(
        "[database.shop]\nurl = 'postgres://rollbackd:hunter2@db/shop'\nconnect_timeout = '0s'\n\
         [database.other]\nurl = 'postgres://rollbackd@db/other'\npassword = { file = '/nowhere/at-all' }\n\
         [service.shop]\nwatch_only = true\n[service.shop.database]\nfrom = 'shopp'\n\
         [service.cart]\nwatch_only = true\n[service.cart.database]\nhistory_max = 0",
    );
    for part in [
        "line 2, column 7",
        "a password must not stand in a URL",
        "password = { file",
        "takes no time at all",
        "`/nowhere/at-all` cannot be read",
        "there is no database `shopp`",
        "did you mean `shop`?",
        "one of other, shop",
        "0 lets nothing through",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
    let plain =
        load_text("rollbackd.toml", "[database.x]\nurl = 'postgres://x@h/d'\npassword = 'hunter2'");
    assert!(!format!("{plain:?}").contains("hunter2"));
}

const GOES_BACK: &str = "[database.shop]\nurl = 'postgres://rollbackd@db/shop'\n[service.shop.database]\ncompatible_marker = 'backward compatible'\n\
     [service.shop.rollback.application.release]\nroot = '/srv/shop'\nrestart = { unit = 'shop.service' }\nrunning = { unit = 'shop.service' }\n\
     [service.shop.rollback.database]\n";

#[test]
fn a_schema_goes_back_while_nothing_writes() {
    let text = format!(
        "{GOES_BACK}undo = ['/bin/true', '{{last}}']\nstop = ['/bin/true']\nstart = ['/bin/true', 'on']"
    );
    let (config, _) = loaded(&text);
    let service = config.policy.services.values().next().unwrap();
    let marker = service.database.as_ref().unwrap().compatible_marker.as_deref();
    assert_eq!(marker, Some("backward compatible"));
    let back = service.runbook.as_ref().unwrap().database.as_ref().unwrap();
    let StopWrites::Command { start, .. } = &back.stop_writes else { panic!("{back:?}") };
    assert_eq!(start.as_ref().unwrap().argv, ["/bin/true", "on"]);
    assert!(!back.automatic);
    assert_eq!(back.schema.history_table, "flyway_schema_history");
    assert_eq!(back.undo_timeout, Span::minutes(10));
}

#[test]
fn what_would_take_a_schema_back_blindly_is_refused() {
    for (said, told) in [
        ("undo = ['/bin/true']\nstop_writes = 'no'", "nothing tells it how far to go back"),
        ("undo = ['/bin/true', '{to}']", "nothing keeps the service from writing"),
        ("undo = ['/bin/true', '{to}']\nstop_writes = 'scale'", "a Deployment is scaled"),
        ("undo = ['/bin/true', '{to}']\nstop_writes = 'command'", "does not say which program"),
        (
            "undo = ['/bin/true', '{to}']\nstop_writes = 'no'\nstop = ['/bin/true']",
            "a program that stop_writes does not want",
        ),
        (
            "undo = ['/bin/true', '{to}']\nstop_writes = 'no'\nstart = ['/bin/true']",
            "it starts what no program stops",
        ),
    ] {
        let all = refused(&format!("{GOES_BACK}{said}"));
        assert!(all.contains(told), "{said}: {all}");
    }
    let unseen = GOES_BACK
        .replace("[service.shop.database]\ncompatible_marker = 'backward compatible'\n", "");
    let all = refused(&format!("{unseen}undo = ['/bin/true', '{{to}}']\nstop_writes = 'no'"));
    assert!(all.contains("nobody looks at the history of its migrations"), "{all}");
    let all = refused(&GOES_BACK.replace("'backward compatible'", "'a'"));
    assert!(all.contains("every migration could hold it"), "{all}");
}

const OWNER: &str = "[database.owner]\nurl = 'postgres://owner@db/shop'\n[database.else]\nurl = 'postgres://owner@db/other'\n";

#[test]
fn a_script_is_run_as_who_may_and_brings_the_services_own_checks() {
    let text = format!(
        "{OWNER}{}script = '/srv/shop/{{release}}/{{from}}-{{to}}.sql'\nthrough = 'owner'\nstop_writes = 'no'\nlock_timeout = '3s'\n\
         verify = {{ 'no orphan' = 'SELECT 1 WHERE false;' }}\n\
         [service.shop.database.check.orders]\nquery = 'SELECT count(*) FROM orders'\nwithin = [1, 9]",
        GOES_BACK.replace(
            "[service.shop.database]",
            "[service.shop.database]\nfrom = 'shop'\nevery = '7s'"
        )
    );
    let (config, _) = loaded(&text);
    let service = config.policy.services.values().next().unwrap();
    let back = service.runbook.as_ref().unwrap().database.as_ref().unwrap();
    let script = back.script.as_ref().unwrap();
    assert_eq!((back.undo.is_none(), script.lock_timeout), (true, Span::seconds(3)));
    assert_eq!(script.verify["no orphan"], "SELECT 1 WHERE false");
    let reversed = config.databases.values().next().unwrap().reversed.as_ref().unwrap();
    assert_eq!((reversed.files.as_str(), reversed.every), (script.file.as_str(), Span::seconds(7)));
    assert_eq!(reversed.scripted.through.database.user, "owner");
    assert_eq!(reversed.scripted.checks["orders"].1, Expects::Within { low: 1.0, high: 9.0 });
}

#[test]
fn what_would_run_a_script_by_itself_or_elsewhere_is_refused() {
    let begin = format!(
        "{OWNER}{}",
        GOES_BACK.replace("[service.shop.database]", "[service.shop.database]\nfrom = 'shop'")
    );
    for (said, told) in [
        ("script = '/r.sql'\nautomatic = true", "never run without a person"),
        ("script = 'r.sql'", "not the absolute path"),
        ("script = '/srv/../r.sql'", "not the absolute path"),
        ("script = '/srv/{version}.sql'", "something else stands in braces"),
        ("script = '/r.sql'\nthrough = 'else'", "another database than shop at db"),
        ("script = '/r.sql'\nthrough = 'ownr'", "did you mean `owner`?"),
        ("script = '/r.sql'\nverify = { a = 'DELETE FROM b' }", "`a` is no single query"),
        ("script = '/r.sql'\nverify = { a = 'SELECT 1; SELECT 2' }", "`a` is no single query"),
        ("script = '/r.sql'\nlock_timeout = '0s'", "takes no time at all"),
        ("undo = ['/bin/true', '{to}']\nthrough = 'owner'", "`through` is of a script"),
        ("undo = ['/bin/true', '{to}']\ncron_job = 'undo'", "a program and a Job cannot both"),
        ("cron_job = 'undo'", "a Job runs where a Deployment is"),
        ("cron_job = 'undo'\nkeep = '59m'", "a Job that goes after 59m may be gone"),
        ("script = '/r.sql'\nkeep = '1h'", "`keep` is of a Job"),
        ("", "nothing takes its migrations back"),
    ] {
        let all = refused(&format!("{begin}stop_writes = 'no'\n{said}"));
        assert!(all.contains(told), "{said}: {all}");
    }
    let mariadb = GOES_BACK.replace("postgres://", "mysql://");
    let all = refused(&format!("{mariadb}script = '/r.sql'\nstop_writes = 'no'"));
    assert!(all.contains("commit each change of a table by itself"), "{all}");
}

const RESTORED: &str = "[database.shop]\nurl = 'postgres://rollbackd@db/shop'\n[database.admin]\nurl = 'postgres://admin@db/postgres'\ntls = 'prefer'\n\
     [database.other]\nurl = 'postgres://admin@else/postgres'\n[service.shop.database]\nfrom = 'shop'\n\
     [service.shop.rollback.application.release]\nroot = '/srv/shop'\nrestart = { unit = 'shop.service' }\nrunning = { unit = 'shop.service' }\n\
     [service.shop.rollback.snapshot]\n";

#[test]
fn a_database_is_restored_by_one_who_may_and_reached_as_its_table_says() {
    let (config, _) = loaded(&format!(
        "{RESTORED}files = '/tmp/shop-*.dump'\nthrough = 'admin'\noptions = ['--jobs=2']\nstop_writes = 'no'\nlost = {{ orders = 'SELECT {{taken_at}}' }}"
    ));
    let service = config.policy.services.values().next().unwrap();
    let restore = service.runbook.as_ref().unwrap().restore.as_ref().unwrap();
    assert_eq!(restore.database, "shop");
    assert_eq!(restore.restore.argv, ["pg_restore", "--exit-on-error", "--jobs=2"]);
    let names: Vec<&str> = restore.restore.env.keys().map(String::as_str).collect();
    assert_eq!(names, ["PGCONNECT_TIMEOUT", "PGHOST", "PGPORT", "PGSSLMODE", "PGUSER"]);
    let kept = config.databases.values().next().unwrap().snapshots.as_ref().unwrap();
    assert_eq!(kept.keeper.through.database.name, "postgres");
    let files = &kept.keeper.files;
    assert_eq!((files.begins.as_str(), files.ends.as_str(), files.max), ("shop-", ".dump", 20));
    assert_eq!((kept.every, kept.every_watched), (Span::minutes(30), Span::minutes(2)));
    assert!(!restore.automatic);
}

#[test]
fn what_could_not_restore_a_database_is_refused_before_there_is_need() {
    for (said, told) in [
        ("files = 'shop.dump'\nthrough = 'admin'", "no pattern for files of one directory"),
        ("files = '/tmp/*/x'\nthrough = 'admin'", "no pattern for files of one directory"),
        ("files = '/tmp/*'\nthrough = 'admim'", "did you mean `admin`?"),
        ("files = '/tmp/*'\nthrough = 'other'", "on another server"),
        ("files = '/tmp/*'\nthrough = 'shop'", "cannot rename it"),
        ("files = '/tmp/*'\nthrough = 'admin'\nlost = { x = 'SELECT 1' }", "was written since"),
        (
            "files = '/tmp/*'\nthrough = 'admin'\noptions = ['--clean']",
            "may not be asked of pg_restore",
        ),
        (
            "files = '/tmp/*'\nthrough = 'admin'\noptions = ['-Cc']",
            "may not be asked of pg_restore",
        ),
        ("files = '/tmp/*'\nthrough = 'admin'\nstop_writes = 'scale'", "a Deployment is scaled"),
        ("files = '/tmp/*'\nthrough = 'admin'\nevery_watched = '31m'", "slower while it matters"),
    ] {
        let all = refused(&format!("{RESTORED}{said}"));
        assert!(all.contains(told), "{said}: {all}");
    }
    let mysql = RESTORED.replace("postgres://", "mysql://");
    let all = refused(&format!("{mysql}files = '/tmp/*'\nthrough = 'admin'\nstop_writes = 'no'"));
    assert!(all.contains("only a PostgreSQL database"), "{all}");
    let unseen = RESTORED.replace("[service.shop.database]\nfrom = 'shop'\n", "");
    let all = refused(&format!("{unseen}files = '/tmp/*'\nthrough = 'admin'\nstop_writes = 'no'"));
    assert!(all.contains("of a database that is looked at"), "{all}");
}

#[test]
fn an_application_or_flyway_itself_may_tell_how_far_it_is_migrated_and_one_of_them_does() {
    let service = "[service.shop]\nwatch_only = true\n";
    let actuator = "[service.shop.database.actuator]\nurl = 'http://shop:8080/actuator/flyway'\n";
    let (config, _) = loaded(&format!("{service}{actuator}"));
    let (id, database) = config.databases.iter().next().unwrap();
    assert!(matches!(&database.teller, Teller::Actuator(it) if it.bean.is_none()));
    let place = &config.policy.services[id].database.as_ref().unwrap().place;
    assert_eq!(place, "http://shop:8080/actuator/flyway");
    let info = "[service.shop.database.info]\nargv = ['/bin/true', 'info', '-outputType=json']\n";
    let (config, _) = loaded(&format!("{service}{info}"));
    assert!(matches!(&config.databases.values().next().unwrap().teller, Teller::Info(_)));

    for (said, told) in [
        (format!("{service}{actuator}{info}"), "two are named that tell"),
        (
            format!("{service}[service.shop.database]\nfrom = 'x'\n{info}"),
            "two are named that tell",
        ),
        (
            format!(
                "{service}{info}[service.shop.database.check.x]\nquery = 'SELECT 1'\nno_row = true"
            ),
            "checked in the database itself",
        ),
    ] {
        let all = refused(&said);
        assert!(all.contains(told), "{said}: {all}");
    }
    let (_, warnings) = loaded(&format!("{service}{}", info.replace(", '-outputType=json'", "")));
    assert!(
        warnings.iter().any(|it| it.what.contains("prints a table for people")),
        "{warnings:?}"
    );
    let undo = GOES_BACK
        .replace("[service.shop.database]\ncompatible_marker = 'backward compatible'\n", "");
    let all =
        refused(&format!("{actuator}{undo}undo = ['/bin/true', '{{to}}']\nstop_writes = 'no'"));
    assert!(all.contains("is seen in the table of migrations alone"), "{all}");
}

#[test]
fn a_connection_that_anybody_can_read_is_warned_of() {
    let told = |host: &str| {
        let text = format!(
            "[database.x]\nurl = 'postgres://a@{host}/x'\ntls = 'off'\n[service.shop]\nwatch_only = true"
        );
        let (_, warnings) = loaded(&text);
        warnings.iter().any(|it| it.what.contains("can read along"))
    };
    assert!(told("db.internal"));
    assert!(!told("127.0.0.1") && !told("localhost") && !told("[::1]"));
}

#[test]
fn a_file_that_cannot_be_used_is_told_once_with_every_place_that_names_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ca.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let text = |file: &std::path::Path| {
        let database = |name: &str| {
            format!(
                "[database.{name}]\nurl = 'postgres://x@db/{name}'\nca_file = '{}'\n",
                file.display()
            )
        };
        let all: String = ["one", "two", "three"].map(database).concat();
        format!("{all}[service.shop]\nwatch_only = true\nsignal.health.http.url = 'http://x/y'")
    };
    for file in [file.clone(), home.path().join("none.pem")] {
        let problems = load_text("rollbackd.toml", &text(&file)).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let what = &problems[0].what;
        assert_eq!(problems[0].line, 3);
        assert!(what.contains(file.to_str().unwrap()), "{what}");
        assert!(what.ends_with("; it is named in lines 6, 9 as well"), "{what}");
    }
}

#[test]
fn a_window_before_a_change_in_which_nothing_can_be_known_is_refused_with_what_to_write() {
    let text = |window: &str, slot: &str| {
        format!(
            "[guard]\nburning_window = '{window}'\n[baseline]\nslot = '{slot}'\n[service.shop]\nwatch_only = true\n\
             [service.shop.signal.health]\nevery = '15s'\nhttp.url = 'http://x/y'"
        )
    };
    let all =
        [("20s", "1m", "2m"), ("1m 59s", "1m", "2m"), ("1s", "2s", "18s"), ("3m", "2m", "4m")];
    for (window, slot, least) in all {
        let problems = load_text("rollbackd.toml", &text(window, slot)).unwrap_err();
        assert_eq!((problems.len(), problems[0].line), (1, 2), "{problems:?}");
        assert_eq!(problems[0].instead, format!("write \"{least}\" or longer"));
        load_text("rollbackd.toml", &text(least, slot)).unwrap();
    }
    let usual = text("30m", "20m").replace("burning_window", "#");
    let (_, problems) = load_text("rollbackd.toml", &usual).unwrap();
    let is_told = problems.iter().any(|it| it.what.starts_with("of the 30m before a change"));
    assert!(is_told, "{problems:?}");
}
