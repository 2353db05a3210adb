//! Clusters, and the Deployments in them.

use std::fs;

use super::{loaded, refused};
use crate::{
    config::{DeploymentAt, Finding, Platform, Read, load_text_with},
    domain::{owner::OwnerRule, policy::SignalKind, runbook::ApplicationRunbook},
    kubernetes::{access::Access, seal::Secrets},
    sources::kubernetes::{Key, Of, Question, Resource, Usage},
    units::Span,
};

const KUBECONFIG: &str = r#"{ "current-context": "one", "contexts": [
    { "name": "one", "context": { "cluster": "c", "user": "u" } },
    { "name": "two", "context": { "cluster": "c", "user": "u" } } ],
    "users": [ { "name": "u", "user": { "token": "hunter2" } } ] }"#;

const SERVICE: &str = "
    [service.shop.rollback.application.kubernetes]
    namespace = 'shop'
    deployment = 'checkout'
    container = 'app'
    [service.shop.signal.health_pods.kubernetes]
";

#[test]
fn a_deployment_is_watched_where_it_is_and_its_pods_are_those_that_are_rolled_back() {
    let (config, warnings) = loaded(&format!("[kubernetes.main]\nin_cluster = true\n{SERVICE}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let at = DeploymentAt { cluster: "main".into(), key: Key::new("shop", "checkout") };
    let (_, Platform::Kubernetes(platform)) = config.platforms.iter().next().unwrap() else {
        panic!("{:?}", config.platforms)
    };
    assert_eq!((&platform.at, platform.container.as_deref()), (&at, Some("app")));
    assert!(platform.left_out.is_empty());
    assert_eq!(config.polls[0].read, Read::Kubernetes(at));
    let service = config.policy.services.values().next().unwrap();
    assert_eq!(service.signals["health_pods"].kind, SignalKind::Health);
    let runbook = service.runbook.as_ref().unwrap();
    assert_eq!(runbook.application, ApplicationRunbook::Deployment(platform.runbook.clone()));
    assert_eq!(runbook.application.resource(), "deployment:main/shop/checkout");
    let ((cluster, namespace), options) = config.clusters.iter().next().unwrap();
    assert_eq!((cluster.as_str(), namespace.as_deref()), ("main", Some("shop")));
    assert_eq!((&options.access, &options.namespace), (&Access::InCluster, namespace));
}

#[test]
fn maintenance_mode_is_read_with_the_configuration_and_is_of_one_service_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("maintenance.yaml");
    let map = |holds: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: page, namespace: shop }}\ndata: {{ html: {holds} }}\n"
        )
    };
    fs::write(&file, map("soon")).unwrap();
    let of = |name: &str| {
        let service = SERVICE.replace("service.shop", &format!("service.{name}"));
        let service = service.replace("'checkout'", &format!("'{name}'"));
        let at = file.display();
        format!("{service}[service.{name}.rollback.maintenance.kubernetes]\nmanifest = '{at}'\n")
    };
    let cluster = "[kubernetes.main]\nin_cluster = true\n";
    let read = || {
        let (config, warnings) = loaded(&format!("{cluster}{}", of("shop")));
        assert!(warnings.is_empty(), "{warnings:?}");
        let service = config.policy.services.values().next().unwrap().clone();
        let maintenance = service.runbook.as_ref().unwrap().maintenance.clone().unwrap();
        let Some(Platform::Kubernetes(platform)) = config.platforms.into_values().next() else {
            panic!("it is a Deployment")
        };
        (maintenance, platform.manifest.unwrap())
    };
    let (maintenance, manifest) = read();
    let usual = (maintenance.timeout, maintenance.attempts, maintenance.page_after);
    assert_eq!(usual, (Span::seconds(30), 2, Span::minutes(30)));
    assert_eq!(maintenance.mode.to_string(), "ConfigMap shop/page");
    assert_eq!(maintenance.mode.service.to_string(), "shop/production");
    assert_eq!(maintenance.mode.manifest, manifest.hash);
    assert_eq!(manifest.objects[0]["data"]["html"], "soon");
    let both = refused(&format!("{cluster}{}{}", of("shop"), of("cart")));
    assert!(both.contains("switches the same on for its maintenance mode"), "{both}");
    let release = of("shop").replace(
        "[service.shop.rollback.application.kubernetes]\n    namespace = 'shop'\n    deployment = 'shop'\n    container = 'app'",
        "[service.shop.rollback.application.release]\nroot = '/srv/shop'\nrestart.unit = 'shop.service'\nrunning.unit = 'shop.service'",
    );
    let release =
        release.replace("health_pods.kubernetes]", "health.http]\nurl = 'http://127.0.0.1/'");
    let said = refused(&format!("{cluster}{release}"));
    assert!(said.contains("objects are made where a Deployment is"), "{said}");
    fs::write(&file, map("later")).unwrap();
    assert_ne!(read().1.hash, manifest.hash, "another page is another plan");
    fs::remove_file(&file).unwrap();
    let without = format!("{cluster}{}", of("shop"));
    let (config, warnings) = loaded(&without);
    assert!(warnings[0].to_string().contains("rollbacks go without maintenance mode"));
    let runbook = config.policy.services.values().next().unwrap().runbook.clone().unwrap();
    assert_eq!(runbook.maintenance, None, "and the daemon starts");
    let gone = refused(&format!("{without}required = true\n"));
    assert!(gone.contains("cannot be read: No such file"), "{gone}");
}

#[test]
fn logs_of_what_is_rolled_back_are_read_within_bounds() {
    let read = |signal: &str, said: &str| {
        let cluster = "[kubernetes.main]\nin_cluster = true\n";
        let logs = format!(
            "[service.shop.signal.logs]\n{signal}\n[service.shop.signal.logs.kubernetes]\n{said}"
        );
        format!("{cluster}{SERVICE}{logs}")
    };
    let (config, warnings) = loaded(&read("", "patterns = ['panic', '^FATAL']"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let logs = config.polls.iter().find(|poll| poll.signal == "logs").unwrap();
    let Read::Asked(at, Question::Lines(lines)) = &logs.read else { panic!("{logs:?}") };
    assert_eq!(at, &DeploymentAt { cluster: "main".into(), key: Key::new("shop", "checkout") });
    let bounds = (lines.lines, lines.pods_max, lines.within, lines.bytes_max);
    assert_eq!(bounds, (5000, 5, Span::minutes(1), 1 << 20));
    assert_eq!(lines.container.as_deref(), Some("app"), "as the rollback says");
    assert_eq!((logs.every, logs.every_watched), (Span::seconds(30), Span::seconds(15)));
    for (signal, said, why) in [
        ("", "", "nobody knows which lines say that something is wrong"),
        ("", "patterns = []", "0 patterns"),
        ("", "patterns = ['(']", "`(` is no pattern"),
        ("", "patterns = ['panic']\nlines = 0", "0 lets nothing through"),
        ("", "patterns = ['panic']\nwithin = '10s'", "of every 30s only the last 10s are read"),
        ("every = '5m'", "patterns = ['panic']", "write within = \"5m\" or more"),
        ("kind = 'health'", "patterns = ['panic']", "this is not read of logs"),
        ("kind = 'cpu'", "patterns = ['panic']", "this is not read of logs"),
        ("", "patterns = ['panic']\nof = 'limits'", "`of` says what the use of CPU"),
    ] {
        let told = refused(&read(signal, said));
        assert!(told.contains(why), "not told: {why}\n{told}");
    }
}

#[test]
fn what_pods_use_is_asked_of_the_metrics_api_against_limits_or_requests() {
    let text = format!(
        "[kubernetes.main]\nin_cluster = true\n{SERVICE}[service.shop.signal.cpu.kubernetes]\n[service.shop.signal.memory.kubernetes]\nof = 'requests'"
    );
    let (config, warnings) = loaded(&text);
    assert!(warnings.is_empty(), "{warnings:?}");
    let asked = |signal: &str| {
        let poll = config.polls.iter().find(|poll| poll.signal == signal).unwrap();
        let Read::Asked(_, Question::Usage(usage)) = &poll.read else { panic!("{poll:?}") };
        *usage
    };
    let usage = |resource, of| Usage { resource, of, pods_max: 20 };
    assert_eq!(asked("cpu"), usage(Resource::Cpu, Of::Limits));
    assert_eq!(asked("memory"), usage(Resource::Memory, Of::Requests));
}

#[test]
fn a_smoke_test_of_the_cluster_runs_where_the_deployment_is() {
    let smoke = "[service.shop.rollback.job.smoke]\ncron_job = 'checkout-smoke'";
    let cluster = "[kubernetes.main]\nin_cluster = true\n";
    let (config, warnings) = loaded(&format!("{cluster}{SERVICE}{smoke}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let service = config.policy.services.values().next().unwrap();
    let [job] = service.runbook.as_ref().unwrap().jobs.as_slice() else { panic!("{service:?}") };
    let place = (job.cluster.as_str(), job.namespace.as_str(), job.cron_job.as_str());
    assert_eq!(place, ("main", "shop", "checkout-smoke"));
    assert_eq!((job.title.as_str(), job.attempts), ("smoke", 2));
    let told = refused(&format!("{cluster}{SERVICE}{smoke}").replace("checkout-smoke", "A B"));
    assert!(told.contains("`A B` is not the name of a CronJob"), "{told}");
}

#[test]
fn people_are_asked_about_owners_unless_the_operator_wants_them_taken_over() {
    let rule = |cluster: &str, service: &str| {
        let service = SERVICE.replace("container", &format!("{service}\ncontainer"));
        let text = format!("[kubernetes.main]\nin_cluster = true\n{cluster}\n{service}");
        let (config, _) = loaded(&text);
        let runbook = config.policy.services.values().next().unwrap().runbook.clone().unwrap();
        let ApplicationRunbook::Deployment(runbook) = runbook.application else { panic!() };
        (runbook.owner, runbook.argocd_namespace)
    };
    assert_eq!(rule("", ""), (OwnerRule::Page, "argocd".to_owned()));
    let said = rule("argocd_namespace = 'gitops'", "owner = 'take-over'");
    assert_eq!(said, (OwnerRule::TakeOver, "gitops".to_owned()));
}

#[test]
fn each_namespace_is_watched_by_itself_unless_all_are_wanted() {
    let more = "
        [service.cart.rollback.application.kubernetes]
        namespace = 'cart'
        deployment = 'cart'
        [service.mail.rollback.application.kubernetes]
        namespace = 'shop'
        deployment = 'mail'
    ";
    let namespaces = |said: &str| {
        let text = format!("[kubernetes.main]\nin_cluster = true\n{said}\n{SERVICE}{more}");
        loaded(&text).0.clusters.into_keys().map(|(_, namespace)| namespace).collect::<Vec<_>>()
    };
    assert_eq!(namespaces(""), [Some("cart".to_owned()), Some("shop".to_owned())]);
    assert_eq!(namespaces("all_namespaces = true"), [None]);
}

#[test]
fn registries_are_asked_unless_the_operator_says_no_and_secrets_are_read_only_where_they_say_yes() {
    let asked = |more: &str| {
        let (config, _) = loaded(&format!(
            "[kubernetes.main]\nin_cluster = true\n[kubernetes.main.registries]\n{more}\n{SERVICE}"
        ));
        config.clusters.into_values().next().unwrap().registries
    };
    let usual = asked("");
    assert_eq!((usual.ask, usual.pull_secrets, usual.keep), (true, false, Span::minutes(5)));
    assert!(!asked("ask = false").ask && asked("pull_secrets = true").pull_secrets);
    assert_eq!(asked("plain_http = ['registry.internal:5000']").plain_http.len(), 1);
}

#[test]
fn config_maps_are_watched_unless_the_operator_says_no_and_secrets_only_where_they_say_yes() {
    let watched = |said: &str| {
        let (config, _) =
            loaded(&format!("[kubernetes.main]\nin_cluster = true\n{said}\n{SERVICE}"));
        let options = config.clusters.into_values().next().unwrap();
        (options.config_maps, options.secrets)
    };
    assert_eq!(watched(""), (true, Secrets::Off));
    assert_eq!(watched("config_maps = false\nsecrets = true"), (false, Secrets::Hash));
    assert_eq!(watched("secrets = false"), (true, Secrets::Off));
    assert_eq!(watched("secrets = 'off'"), (true, Secrets::Off));
    assert_eq!(watched("secrets = 'hash'"), (true, Secrets::Hash));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let at = file.display();
    let encrypted = format!("secrets = 'encrypted'\nsecrets_key = {{ file = '{at}' }}");
    fs::write(&file, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    let (_, secrets) = watched(&encrypted);
    assert!(secrets.key().is_some() && !format!("{secrets:?}").contains("AAEC"), "{secrets:?}");
    let why =
        |said: &str| refused(&format!("[kubernetes.main]\nin_cluster = true\n{said}\n{SERVICE}"));
    fs::write(&file, "hunter2").unwrap();
    let told = why(&encrypted);
    assert!(told.contains("this is no key of 32 bytes") && told.contains("openssl rand"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    for (said, what) in [
        ("secrets = 'encrypted'", "nobody knows by which key"),
        (&*format!("secrets_key = {{ file = '{at}' }}"), "a key for Secrets that are not kept"),
        ("secrets = 'yes'", "use one of off, hash, encrypted"),
        ("secrets = 'encrypted'\nsecrets_key = 'AAEC'", "a secret must not stand in this file"),
    ] {
        let told = why(said);
        assert!(told.contains(what), "{said}: {told}");
    }
}

#[test]
fn what_is_wrong_with_clusters_and_deployments_is_told() {
    let cluster = "[kubernetes.main]\nin_cluster = true\n";
    let shop = |rest: &str| format!("{cluster}[service.shop]\n{rest}");
    let deployment = |namespace: &str, name: &str| {
        shop(&format!(
            "[service.shop.rollback.application.kubernetes]\nnamespace = '{namespace}'\ndeployment = '{name}'"
        ))
    };
    for (text, said) in [
        (format!("[kubernetes.main]\n{SERVICE}"), "nobody knows how `main` is reached"),
        (format!("[kubernetes.main]\nin_cluster = false\n{SERVICE}"), "nobody knows how `main`"),
        (format!("{cluster}kubeconfig = '/x'\n{SERVICE}"), "`main` is reached in two ways"),
        (format!("{cluster}context = 'one'\n{SERVICE}"), "a context is of a kubeconfig"),
        (format!("[kubernetes.main]\nkubeconfig = '/nowhere/x'\n{SERVICE}"), "cannot be read"),
        (format!("{cluster}reopen_every = '10ms'\n{SERVICE}"), "lasts a second at least"),
        (format!("{cluster}page = 0\n{SERVICE}"), "0 lets nothing through"),
        (format!("{cluster}argocd_namespace = 'A B'\n{SERVICE}"), "is not the name of a namespace"),
        (SERVICE.to_owned(), "nobody knows which cluster is meant"),
        (
            format!("{cluster}[kubernetes.other]\nin_cluster = true\n{SERVICE}"),
            "one of main, other",
        ),
        (
            format!("{cluster}{}", SERVICE.replace("container", "from = 'mian'\ncontainer")),
            "did you mean `main`?",
        ),
        (deployment("Shop", "checkout"), "`Shop` is not the name of a namespace"),
        (deployment("shop", "check out"), "`check out` is not the name of a Deployment"),
        (shop("[service.shop.signal.health.kubernetes]"), "nobody knows which Deployment this is"),
        (
            format!("{cluster}{SERVICE}[service.shop.signal.latency.kubernetes]"),
            "a cluster only tells whether the pods are well",
        ),
        (
            format!("{cluster}{SERVICE}{}", SERVICE.replace("service.shop", "service.twin")),
            "is rolled back in the Deployment shop/checkout of main too",
        ),
    ] {
        let told = refused(&text);
        assert!(told.contains(said), "not told: {said}\n{told}");
    }
}

#[test]
fn a_kubeconfig_is_read_and_its_contexts_are_named_without_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    let with = |text: &str, more: &str| {
        fs::write(&path, text).unwrap();
        format!("[kubernetes.main]\nkubeconfig = '{}'\n{more}\n{SERVICE}", path.display())
    };
    let (config, _) = loaded(&with(KUBECONFIG, "context = 'two'"));
    let access = &config.clusters.values().next().unwrap().access;
    assert!(matches!(access, Access::Kubeconfig { context: Some(two), .. } if two == "two"));
    assert!(!format!("{config:?}").contains("hunter2"));
    loaded(&with(KUBECONFIG, ""));
    let unknown = refused(&with(KUBECONFIG, "context = 'three'"));
    assert!(unknown.contains("no context `three`; its contexts are one, two"), "{unknown}");
    let none =
        refused(&with(&KUBECONFIG.replace("\"one\", \"contexts\"", "\"\", \"contexts\""), ""));
    assert!(none.contains("no current context; its contexts are one, two"), "{none}");
    // The parser of YAML shows the line at fault, and says what stands there.
    for text in ["contexts: {token: hunter2", "users: hunter2", "users: [hunter2]", "\"hunter2"] {
        let broken = refused(&with(text, ""));
        assert!(broken.contains("it is not a kubeconfig"), "{broken}");
        assert!(!broken.contains("hunter2"), "{broken}");
    }
}

const ANNOTATED: &str = "
    [discover.pods]
    template = 'pods'
    [discover.pods.kubernetes]
    [template.pods.rollback.application.kubernetes]
    namespace = '{namespace}'
    deployment = '{deployment}'
    [template.pods.signal.health.kubernetes]
";

#[test]
fn deployments_that_are_found_are_each_a_service_in_its_own_namespace() {
    let text = format!("[kubernetes.main]\nin_cluster = true\n{ANNOTATED}");
    let found = [("pods".to_owned(), vec!["shop.checkout.v2".to_owned(), "cart.cart".to_owned()])];
    let (config, warnings) = load_text_with("rollbackd.toml", &text, &found.into()).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let resources: Vec<String> = config
        .policy
        .services
        .values()
        .map(|service| service.runbook.as_ref().unwrap().application.resource())
        .collect();
    assert_eq!(resources, ["deployment:main/cart/cart", "deployment:main/shop/checkout.v2"]);
    let Finding::Annotation { options, annotation } = &config.discoveries[0].finding else {
        panic!("{:?}", config.discoveries)
    };
    assert_eq!((annotation.as_str(), &options.namespace), ("rollbackd.dev/watch", &None));
}

#[test]
fn who_finds_services_is_said_once() {
    let with = |more: &str| format!("[kubernetes.main]\nin_cluster = true\n{more}\n{ANNOTATED}");
    for (text, says) in [
        (with("").replace("[discover.pods.kubernetes]", ""), "nobody knows who finds its services"),
        (
            with("")
                .replace("[discover.pods.kubernetes]", "query = 'up'\n[discover.pods.kubernetes]"),
            "asks Prometheus",
        ),
        (
            with("")
                .replace("[discover.pods.kubernetes]", "[discover.pods.kubernetes]\nfrom = 'mian'"),
            "there is no cluster `mian`",
        ),
        (
            with("").replace(
                "[discover.pods.kubernetes]",
                "[discover.pods.kubernetes]\nnamespace = 'A b'",
            ),
            "is not the name of a namespace",
        ),
    ] {
        let problems = refused(&text);
        assert!(problems.contains(says), "{says}: {problems}");
    }
}

#[test]
fn what_the_version_before_was_is_read_from_an_annotation_that_the_whole_cluster_is_read_for() {
    let cluster = "[kubernetes.main]\nin_cluster = true\n";
    let more = |lines: &str| {
        SERVICE.replace("container = 'app'", &format!("container = 'app'\n    {lines}"))
    };
    let read = |lines: &str| {
        let (config, warnings) = loaded(&format!("{cluster}{}", more(lines)));
        assert!(warnings.is_empty(), "{warnings:?}");
        let names = config.clusters.into_values().next().unwrap().previous;
        let names: Vec<String> = names.into_iter().collect();
        let Some(Platform::Kubernetes(platform)) = config.platforms.into_values().next() else {
            panic!("{lines}")
        };
        assert_eq!(
            platform.runbook.previous,
            platform.previous.as_ref().map(|it| it.annotation.clone())
        );
        (names, platform.previous.map(|it| it.image_prefix))
    };
    let named = |name: &str, prefix: &str| (vec![name.to_owned()], Some(prefix.to_owned()));
    assert_eq!(read(""), named("previous-version", ""));
    let both = "previous_version_annotation = 'shop.example/before'\nimage_prefix = 'eu.example:5000/shop'";
    assert_eq!(read(both), named("shop.example/before", "eu.example:5000/shop"));
    assert_eq!(
        read("image_prefix = 'localhost:5000'"),
        named("previous-version", "localhost:5000")
    );
    assert_eq!(read("previous_version_annotation = ''"), (vec![], None));
    for (line, said) in [
        ("previous_version_annotation = 'a b'", "`a b` is not the name of an annotation"),
        ("previous_version_annotation = '/a'", "`/a` is not the name of an annotation"),
        ("image_prefix = 'https://eu.example'", "is not where images are pulled from"),
        ("image_prefix = 'eu.example/shop:1.4'", "is not where images are pulled from"),
    ] {
        let findings = refused(&format!("{cluster}{}", more(line)));
        assert!(findings.contains(said), "{line}: {findings}");
    }
}
