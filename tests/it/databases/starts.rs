//! The rig of databases itself.

use std::{path::Path, process::Command};

use super::{
    flyway::Flyway,
    server::{BOTH, Fresh},
};

#[test]
fn a_database_to_poke_at_is_started_found_again_and_leaves_nothing_behind() {
    let home = tempfile::TempDir::new().expect("a temporary directory");
    // The server is an ordinary user's, who has to get in.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(home.path(), open).expect("it is ours");
    for server in ["postgresql", "mariadb"] {
        let run = |command: &str| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig").join(server);
            let output = Command::new(script).arg(command).env("RIG_DIR", home.path()).output();
            let output = output.expect("the script can be started");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{server} {command}: {said}");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let said = run("up");
        assert_eq!(run("up"), said, "up again finds the one that runs");
        let told = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_else(|| panic!("no {name}: {said}")).to_owned()
        };
        let pid = Path::new(&told("ca")).with_file_name("server.pid");
        let pid = std::fs::read_to_string(pid).expect("a pid").trim().to_owned();
        let process = Path::new("/proc").join(pid);
        assert!(process.exists() && told("url").contains("@127.0.0.1:"));
        run("down");
        assert!(!process.exists(), "it is gone");
        run("down");
    }
}

#[tokio::test]
async fn flyway_migrates_a_database_of_each_test_alone() {
    for kind in BOTH {
        let (one, other) = (Fresh::of(kind).await, Fresh::of(kind).await);
        let flyway = Flyway::of(&one);
        flyway.script("V1__orders.sql", "CREATE TABLE orders (id INT PRIMARY KEY);");
        let said = flyway.succeed(&["migrate"]).await;
        assert_eq!(said["targetSchemaVersion"], "1", "{kind}");
        assert!(one.run("SELECT id FROM orders").await.is_empty());
        let tables = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'orders' AND table_schema IN ('public', '{}')";
        let tables = tables.replace("{}", &other.name);
        assert_eq!(other.run(&tables).await, [[Some("0".to_owned())]], "{kind}");
    }
}
