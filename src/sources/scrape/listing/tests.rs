use std::{fs, path::Path};

use super::*;

fn options(origin: Origin) -> ListOptions {
    ListOptions {
        origin,
        scheme: "http".into(),
        path: "/metrics".into(),
        targets_max: 100,
        http: http::Options::default(),
        limits: Limits::default(),
        freshness: Freshness::default(),
        revision: None,
    }
}

fn followed(options: ListOptions) -> Listing {
    Listing::new(options, &mut http::Clients::default()).expect("a client")
}

fn listing(path: &Path) -> Listing {
    followed(options(Origin::File(path.to_owned())))
}

fn names(listed: &Listed) -> Vec<&str> {
    listed.targets.iter().map(Target::name).collect()
}

fn reasons(listed: &Listed) -> Vec<&'static str> {
    listed.faults.iter().map(Fault::reason).collect()
}

#[tokio::test]
async fn a_file_lists_targets_with_where_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("shop.json");
    let text = r#"[
        {"targets": ["10.0.0.2:8080", "10.0.0.1:8080", "[::1]:9"], "labels": {"team": "shop\n\"x\""}},
        {"targets": ["10.0.0.1:8080", "pay"], "labels": {"__scheme__": "https", "__metrics_path__": "/m"}},
        {"targets": ["10.0.0.1:8080"]}
    ]"#;
    fs::write(&path, text).expect("written");
    let listed = listing(&path).now().await;
    let all = [
        "http://10.0.0.1:8080/metrics",
        "http://10.0.0.2:8080/metrics",
        "http://[::1]:9/metrics",
        "https://10.0.0.1:8080/m",
        "https://pay:443/m",
    ];
    assert_eq!(names(&listed), all);
    assert!(listed.faults.is_empty() && !listed.partial);
}

#[tokio::test]
async fn targets_are_known_until_another_list_can_be_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("shop.json");
    let mut listing = listing(&path);
    let missing = listing.now().await;
    assert_eq!((names(&missing).len(), reasons(&missing)), (0, vec!["unlisted", "no_targets"]));
    fs::write(&path, r#"[{"targets": ["a:1", "b:1"]}]"#).expect("written");
    let two = listing.now().await;
    assert_eq!(
        (names(&two), reasons(&two)),
        (vec!["http://a:1/metrics", "http://b:1/metrics"], vec![])
    );
    for garbage in
        ["", "[{\"targets\": [\"a:1\"", "\u{0}\u{1}", "{}", "[{\"targets\": \"a:1\"}]", "<html>"]
    {
        fs::write(&path, garbage).expect("written");
        for _ in 0..2 {
            let broken = listing.now().await;
            assert_eq!(
                (names(&broken), reasons(&broken)),
                (names(&two), vec!["unlisted"]),
                "{garbage}"
            );
        }
    }
    fs::remove_file(&path).expect("removed");
    assert_eq!(names(&listing.now().await).len(), 2);
    // As a deployment does it: another file takes the place of the one that is there.
    let next = dir.path().join("next");
    fs::write(&next, r#"[{"targets": ["b:1", "c:1"]}]"#).expect("written");
    fs::rename(&next, &path).expect("renamed");
    for _ in 0..2 {
        let others = listing.now().await;
        assert_eq!(
            (names(&others), reasons(&others)),
            (vec!["http://b:1/metrics", "http://c:1/metrics"], vec![])
        );
    }
    fs::write(&path, "[]").expect("written");
    let none = listing.now().await;
    assert_eq!((names(&none).len(), reasons(&none), none.partial), (0, vec!["no_targets"], false));
}

/// As Prometheus's documentation writes it, and as a machine would.
#[tokio::test]
async fn a_file_in_yaml_lists_them_too() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in [
        (
            "shop.yml",
            "# who\n- targets:\n  - 10.0.0.2:8080\n  - '10.0.0.1:8080'\n  labels: &l\n    team: 7\n- labels:\n    \
             <<: *l\n    __scheme__: https\n  targets: [pay, 1:30]\n",
        ),
        (
            "shop.yaml",
            r#"[{"targets": ["10.0.0.1:8080", "10.0.0.2:8080"]}, {"targets": ["pay", "1:30"], "labels": {"__scheme__": "https"}}]"#,
        ),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        let listed = listing(&path).now().await;
        let all = [
            "http://10.0.0.1:8080/metrics",
            "http://10.0.0.2:8080/metrics",
            "https://0.0.0.1:30/metrics",
            "https://pay:443/metrics",
        ];
        assert_eq!((names(&listed), reasons(&listed)), (all.to_vec(), vec![]), "{name}");
    }
}

#[tokio::test]
async fn what_is_no_list_in_yaml_is_told_with_its_line_and_what_was_known_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("shop.yml");
    fs::write(&path, "- targets: [a:1, b:1]\n").expect("written");
    let mut listing = listing(&path);
    assert_eq!(names(&listing.now().await).len(), 2);
    let laughs: String = (1..40)
        .map(|n| format!("- &l{n} [{}]\n", vec![format!("*l{}", n - 1); 9].join(", ")))
        .collect();
    let laughs = format!("- &l0 [x]\n{laughs}");
    let deep = "[".repeat(100_000);
    for (text, says) in [
        ("", "is empty"),
        ("# soon\n", "is empty"),
        ("- targets:\n  - a:1\n  target: b\n", "line 3"),
        ("- targets:\n  - a:1\n - b\n", "line 3"),
        ("- labels: {}\n", "line 1"),
        ("- targets: [a:1]\n  targets: [b:1]\n", "line 2"),
        ("- targets: [a:1]\n---\n- targets: [b:1]\n", "document"),
        ("targets: [a:1]\n", "line 1"),
        ("<html>Sign in</html>", "line 1"),
        ("- targets: [a:1]\n- targets: [\"b", "line 2"),
        (laughs.as_str(), "no list of targets in YAML"),
        (deep.as_str(), "no list of targets in YAML"),
    ] {
        fs::write(&path, text).expect("written");
        let listed = listing.now().await;
        assert_eq!((names(&listed).len(), reasons(&listed)), (2, vec!["unlisted"]), "{text}");
        let why = listed.faults[0].to_string();
        assert!(why.contains(says) && why.len() < 400 && !why.contains('\n'), "{why}");
    }
}

#[tokio::test]
async fn of_too_many_targets_none_is_taken_for_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("shop.json");
    let write = |count: usize| {
        let targets: Vec<String> =
            (0..count).map(|n| format!("\"10.0.{}.{}:1\"", n / 250, n % 250)).collect();
        fs::write(&path, format!("[{{\"targets\": [{}]}}]", targets.join(","))).expect("written");
    };
    let mut listing = listing(&path);
    write(10_000);
    for _ in 0..2 {
        let many = listing.now().await;
        assert_eq!((names(&many).len(), reasons(&many), many.partial), (0, vec!["limit"], true));
        assert_eq!(
            many.faults[0].to_string(),
            "10000 targets are listed, and 100 are allowed (targets_max)"
        );
    }
    write(100);
    let few = listing.now().await;
    assert_eq!((names(&few).len(), few.partial), (100, false));
}

/// A parser of URLs strips newlines and tabs, and takes what stands before an @ for a password.
#[test]
fn what_is_no_address_spoils_the_list_and_is_told_on_one_line() {
    let long = "a".repeat(2000);
    for target in [
        "",
        "a\n:1",
        "a\t:1",
        "a b:1",
        "a\"b:1",
        "it's:1",
        "user:pw@a:1",
        "a:1/x",
        "a:1?x",
        "a:1#x",
        "http://a:1",
        "a:1:1",
        "a:x",
        "a:",
        ":1",
        "a:99999",
        "a\u{0}:1",
        "{service}:1",
        &long,
    ] {
        let list = serde_json::json!([{ "targets": ["good:1", target] }]).to_string();
        let why = file::targets(false, list.as_bytes(), "http", "/metrics").expect_err(target);
        assert!(why.contains("is not a target") && why.len() < 200 && !why.contains('\n'), "{why}");
    }
    for (label, value) in [
        ("__scheme__", "ftp"),
        ("__metrics_path__", "m"),
        ("__metrics_path__", "/m?a=b"),
        ("__param_module", "x"),
    ] {
        let list = serde_json::json!([{ "targets": ["good:1"], "labels": { label: value } }]);
        file::targets(false, list.to_string().as_bytes(), "http", "/metrics").expect_err(label);
    }
}

#[tokio::test]
async fn a_list_that_is_no_file_or_far_too_long_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let told = listing(dir.path()).now().await.faults[0].to_string();
    assert!(told.ends_with("it is no file"), "{told}");
    let path = dir.path().join("long.json");
    fs::File::create(&path).and_then(|file| file.set_len(9 << 20)).expect("a sparse file");
    let told = listing(&path).now().await.faults[0].to_string();
    assert!(told.ends_with("longer than 8388608 bytes"), "{told}");
}

/// Every address is a target, and is asked by the name.
#[tokio::test]
async fn each_address_of_a_name_is_a_target_that_is_asked_for_the_name() {
    let mut fake = http::fake::Fake::answers(200, "", "r 7\n").await;
    let port = fake.url.port().expect("a port");
    let mut listing = followed(options(Origin::Dns(format!("localhost:{port}"))));
    let listed = listing.now().await;
    let name = format!("http://127.0.0.1:{port}/metrics");
    assert!(listed.faults.is_empty() && names(&listed).contains(&name.as_str()), "{listed:?}");
    let target = listed.targets.iter().find(|target| target.name() == name).expect("it");
    target.poll(&[], crate::units::UnixMs(1)).await;
    let asked = fake.asked().await.to_lowercase();
    assert!(asked.contains(&format!("\r\nhost: localhost:{port}\r\n")), "{asked}");
}

#[tokio::test]
async fn with_tls_an_address_is_asked_for_the_name_of_the_certificate() {
    let secure =
        ListOptions { scheme: "https".into(), ..options(Origin::Dns("shop.internal:8443".into())) };
    let mut listing = followed(secure);
    let url = url_of("https", "shop.internal:8443", "/metrics").expect("a URL");
    let address: IpAddr = "10.0.0.1".parse().expect("an address");
    listing.take(Ok(Some(All::from([at(&url, address)]))), Instant::now()).expect("known");
    let target = &listing.known["https://10.0.0.1:8443/metrics"];
    assert_eq!(target.options.url, url);
    assert_eq!(target.client.options().pinned, Some(address));
}

/// As a headless service in Kubernetes has them: a host for each pod, and the port's number.
#[test]
fn each_host_and_port_of_an_srv_name_is_a_target_asked_by_its_own_name() {
    let found = [("10-1-2-3.shop.svc", 8080), ("10-1-2-4.shop.svc", 9090)];
    let found = found.map(|(host, port)| (host.to_owned(), port)).into();
    let all = at_services("http", &found, "/metrics").expect("targets");
    let urls: Vec<String> = all.values().map(|found| found.url.to_string()).collect();
    assert_eq!(
        urls,
        ["http://10-1-2-3.shop.svc:8080/metrics", "http://10-1-2-4.shop.svc:9090/metrics"]
    );
    assert_eq!(all.keys().cloned().collect::<Vec<_>>(), urls);
    assert!(all.values().all(|found| found.address.is_none()));
    let odd = [("a/b@c".to_owned(), 80)].into();
    at_services("http", &odd, "/metrics").expect_err("no host is called so");
}

#[tokio::test]
async fn addresses_are_known_for_one_lag_after_the_name_was_resolved() {
    let mut listing = followed(options(Origin::Dns("rollbackd.invalid:80".into())));
    let never = listing.now().await;
    assert_eq!((names(&never).len(), reasons(&never)), (0, vec!["unlisted", "no_targets"]));
    let url = url_of("http", "shop.internal:8080", "/metrics").expect("a URL");
    let all = || {
        let address = |last| at(&url, IpAddr::from([10, 0, 0, last]));
        Ok(Some(All::from([address(1), address(2)])))
    };
    let (start, lag) = (Instant::now(), Freshness::default().lag.duration());
    listing.take(all(), start).expect("known");
    let late = || Err("the resolver does not answer".to_owned());
    listing.take(late(), start + lag).expect_err("told");
    assert_eq!(listing.known.len(), 2);
    listing.take(late(), start + lag * 2).expect_err("told");
    assert_eq!(listing.known.len(), 0, "others may have them by now");
    listing.take(all(), start + lag * 3).expect("known");
    assert_eq!(listing.known.len(), 2);
}
