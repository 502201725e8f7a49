//! `deploy/compose.yaml` without a container: it is what compose takes, brings up what `make fleet` does, mounts what there is, publishes
//! nothing beyond loopback, and every program takes the configuration that it is given, the router by really starting with it.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    MediaNode, Router, Socket, Token, answered, built_by_go, get, promtools, remember, repository, run_to_end, tool,
};

const ROUTERS: [&str; 3] = ["r1", "r2", "r3"];
const MEDIA_NODES: [&str; 2] = ["m1", "m2"];

/// Whose image has nothing that a check could run, and which nobody waits for.
const UNCHECKED: [&str; 4] = ["m1", "m2", "calls", "collector"];

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn compose() -> Value {
    serde_saphyr::from_str(&text("deploy/compose.yaml")).unwrap()
}

fn services(compose: &Value) -> BTreeMap<String, Value> {
    serde_json::from_value(compose["services"].clone()).unwrap()
}

/// The words of a list, or none.
fn words(list: &Value) -> Vec<&str> {
    list.as_array().map(|list| list.iter().map(|word| word.as_str().unwrap()).collect()).unwrap_or_default()
}

/// A file or folder of the repository by its path from `deploy/compose.yaml`.
fn beside(path: &str) -> PathBuf {
    repository("deploy").join(path)
}

/// What is mounted from the repository, and where: secrets too.
fn mounts(compose: &Value, service: &Value) -> Vec<(PathBuf, String)> {
    let volumes = words(&service["volumes"]).into_iter().filter(|volume| volume.starts_with('.'));
    let mut mounts: Vec<_> = volumes
        .map(|volume| {
            let [from, to, mode] = <[_; 3]>::try_from(volume.split(':').collect::<Vec<_>>()).expect(volume);
            assert_eq!(mode, "ro", "{volume}");
            (beside(from), to.to_owned())
        })
        .collect();
    for secret in words(&service["secrets"]) {
        let file = compose["secrets"][secret]["file"].as_str().unwrap();
        mounts.push((beside(file), format!("/run/secrets/{secret}")));
    }
    mounts
}

/// A folder that has what that service sees, each thing where it sees it.
fn laid_out(name: &str) -> TempDir {
    let (compose, folder) = (compose(), TempDir::new().unwrap());
    for (from, to) in mounts(&compose, &services(&compose)[name]) {
        let to = folder.path().join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        said(Command::new("cp").arg("-r").arg(from).arg(to));
    }
    folder
}

/// What it says, once it has succeeded.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; run `make test`, or `.ci/setup test`"));
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

/// By the specification's own program, which is what compose reads its files with, and its schema.
#[test]
fn compose_takes_it_and_would_not_take_a_mistake() {
    let Some(program) = built_by_go("compose-spec/bin/cmd") else { return };
    let judge = |file: PathBuf| Command::new(&program).arg("--format=json").arg(file).output().unwrap();
    let taken = judge(repository("deploy/compose.yaml"));
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    let model: Value = serde_json::from_slice(&taken.stdout).unwrap();
    assert_eq!(model["services"].as_object().unwrap().len(), services(&compose()).len());
    let folder = TempDir::new().unwrap();
    for (right, wrong) in [
        ("    network_mode: host\n", "    network_mod: host\n"),
        ("redis: {condition: service_healthy}", "redis: {condition: service_well}"),
        ("      retries: 3\n", "      retries: [3]\n"),
    ] {
        let mistaken = folder.path().join("compose.yaml");
        let changed = text("deploy/compose.yaml").replacen(right, wrong, 1);
        assert!(changed.contains(wrong));
        fs::write(&mistaken, changed).unwrap();
        assert!(!judge(mistaken).status.success(), "{wrong}");
    }
}

#[test]
fn it_brings_up_what_make_fleet_does_and_mounts_what_there_is() {
    let (compose, script) = (compose(), text("deploy/fleet/run") + &text("deploy/fleet/processes"));
    let services = services(&compose);
    let own = ROUTERS.into_iter().chain(MEDIA_NODES).chain(["etcd", "redis", "calls"]);
    let watching = ["prometheus", "alertmanager", "grafana", "collector"];
    let mut expected: Vec<_> = own.chain(watching).collect();
    expected.sort_unstable();
    assert_eq!(services.keys().collect::<Vec<_>>(), expected);
    // what the script says to each router is said here, too
    let told = script.split_whitespace().filter_map(|word| word.strip_prefix("SIGNALBOX_")?.split_once('='));
    let told: Vec<_> = told.map(|(name, _)| format!("SIGNALBOX_{name}")).collect();
    assert!(told.len() > 4, "{told:?}");
    for (router, name) in ROUTERS.iter().flat_map(|router| told.iter().map(move |name| (router, name))) {
        assert!(services[*router]["environment"][name].is_string(), "{router}: {name}");
    }
    for (name, service) in &services {
        for (from, to) in mounts(&compose, service) {
            assert!(from.exists() && to.starts_with('/'), "{name}: {} at {to}", from.display());
        }
        for volume in words(&service["volumes"]).into_iter().filter(|volume| !volume.starts_with('.')) {
            assert!(compose["volumes"].get(volume.split(':').next().unwrap()).is_some(), "{name}: {volume}");
        }
        if service["build"].is_object() {
            let context = beside(service["build"]["context"].as_str().unwrap());
            assert!(context.join(service["build"]["dockerfile"].as_str().unwrap()).exists(), "{name}");
        }
    }
}

#[test]
fn nothing_is_published_beyond_loopback_and_every_image_has_its_version() {
    let (mut taken, pattern) = (Vec::new(), regex::Regex::new(r"^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?$").unwrap());
    for (name, service) in services(&compose()) {
        for port in words(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
            taken.push(port.rsplit_once(':').unwrap().0.to_owned() + if port.ends_with("/udp") { "/udp" } else { "" });
        }
        let image = service["image"].as_str().unwrap();
        assert!(pattern.is_match(image) || image == "signalbox:local", "{name}: {image}");
        assert_eq!(image == "signalbox:local", service["build"].is_object(), "{name}");
        assert!(service["privileged"].is_null() && service["cap_add"].is_null(), "{name}");
        assert!(service["network_mode"] != "host" || name == "calls", "{name}");
    }
    let count = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), count, "a port is published twice");
    for line in text("deploy/Dockerfile").lines().filter_map(|line| line.strip_prefix("FROM ")) {
        assert!(pattern.is_match(line.split(' ').next().unwrap()), "{line}");
    }
    // the Prometheus is that whose promtool and server the tests run
    let version = text(".ci/setup").lines().find_map(|line| {
        line.trim().strip_prefix("go_programs prometheus-3 github.com/prometheus/prometheus v0.3").map(str::to_owned)
    });
    let version = version.unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(services(&compose())["prometheus"]["image"], format!("prom/prometheus:v3.{version}"));
}

#[test]
fn who_is_waited_for_is_there_and_says_when_it_is_well() {
    let services = services(&compose());
    for (name, service) in &services {
        assert_eq!(service["healthcheck"].is_null(), UNCHECKED.contains(&name.as_str()), "{name}");
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let check = &services.get(other).unwrap_or_else(|| panic!("{name} waits for {other}"))["healthcheck"];
            assert!(how["condition"] != "service_healthy" || check.is_object(), "{name} waits for {other}");
        }
        if let Some(other) = service["network_mode"].as_str().and_then(|mode| mode.strip_prefix("service:")) {
            assert!(service["depends_on"][other].is_object() && service["ports"].is_null(), "{name}");
        }
    }
}

/// Every name by which one finds another one.
fn names(services: &BTreeMap<String, Value>) -> Vec<String> {
    let aliases = services.values().flat_map(|service| words(&service["networks"]["default"]["aliases"]));
    services.keys().cloned().chain(aliases.map(str::to_owned)).collect()
}

#[test]
fn prometheus_and_alertmanager_take_what_is_mounted_and_find_each_other_and_the_routers() {
    let (seen, services) = (laid_out("prometheus"), services(&compose()));
    let config = seen.path().join("etc/prometheus/prometheus.yml");
    let files = |folder| fs::read_dir(repository(folder)).unwrap().count();
    let rules = files("alerts/recording") + files("alerts/rules");
    for promtool in promtools() {
        let said = said(Command::new(promtool).args(["check", "config"]).arg(&config));
        assert!(said.contains(&format!("{rules} rule files found")), "{said}");
    }
    let config: Value = serde_saphyr::from_str(&fs::read_to_string(config).unwrap()).unwrap();
    let lists = config["scrape_configs"]
        .as_array()
        .unwrap()
        .iter()
        .chain(config["alerting"]["alertmanagers"].as_array().unwrap());
    let targets: Vec<_> = lists
        .flat_map(|list| list["static_configs"].as_array().unwrap())
        .flat_map(|set| words(&set["targets"]))
        .map(|target| target.split_once(':').unwrap().0)
        .collect();
    let names = names(&services);
    for target in &targets {
        assert!(*target == "localhost" || names.iter().any(|name| name == target), "{target} is nobody");
    }
    for router in ROUTERS {
        let alias = words(&services[router]["networks"]["default"]["aliases"])[0];
        assert!(targets.contains(&alias), "{router} is not scraped");
    }

    let seen = laid_out("alertmanager");
    let said =
        said(Command::new("amtool").arg("check-config").arg(seen.path().join("etc/alertmanager/alertmanager.yml")));
    assert!(said.contains(" 1 templates"), "{said}");
}

#[test]
fn grafana_finds_its_boards_and_whom_they_ask() {
    let (seen, services) = (laid_out("grafana"), services(&compose()));
    let yaml = |path: &str| -> Value {
        serde_saphyr::from_str(&fs::read_to_string(seen.path().join("etc/grafana/provisioning").join(path)).unwrap())
            .unwrap()
    };
    let boards = yaml("dashboards/signalbox.yml")["providers"][0]["options"]["path"].as_str().unwrap().to_owned();
    let boards = seen.path().join(boards.trim_start_matches('/'));
    assert!(fs::read_dir(&boards).unwrap().count() >= 9, "{}", boards.display());
    let home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].as_str().unwrap();
    assert!(seen.path().join(home.trim_start_matches('/')).exists(), "{home}");
    let published = words(&services["prometheus"]["ports"]).join(" ");
    for source in yaml("datasources/signalbox.yml")["datasources"].as_array().unwrap() {
        let port = source["url"].as_str().unwrap().strip_prefix("http://127.0.0.1:").expect("in its own network");
        // there is no store of traces, and the file says so
        assert!(source["uid"] == "signalbox-traces" || published.contains(&format!(":{port}")), "{source}");
    }
    for service in ["alertmanager", "grafana"] {
        assert_eq!(services[service]["network_mode"], "service:prometheus");
    }
}

#[test]
fn the_collector_has_what_its_pipelines_name_where_routers_send() {
    let config: Value = serde_saphyr::from_str(&text("deploy/collector/collector.yaml")).unwrap();
    for (name, pipeline) in config["service"]["pipelines"].as_object().unwrap() {
        for kind in ["receivers", "processors", "exporters"] {
            let used = words(&pipeline[kind]);
            assert!(!used.is_empty() && used.iter().all(|one| config[kind].get(*one).is_some()), "{name}: {kind}");
        }
        assert_eq!(words(&pipeline["processors"])[0], "memory_limiter", "{name}");
    }
    let listens = config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].as_str().unwrap();
    let port = listens.rsplit_once(':').unwrap().1;
    for router in ROUTERS {
        let sends = &services(&compose())[router]["environment"]["SIGNALBOX_TELEMETRY__OTLP__ENDPOINT"];
        assert_eq!(*sends, format!("http://collector:{port}"));
    }
}

#[test]
fn the_dockerfile_passes_its_linter_and_the_image_is_nobodys() {
    said(
        Command::new(tool("python/bin/hadolint")).arg("--failure-threshold=style").arg(repository("deploy/Dockerfile")),
    );
    let last = text("deploy/Dockerfile").rsplit("\nFROM ").next().unwrap().to_owned();
    assert!(last.lines().any(|line| line == "USER 65532:65532"), "{last}");
    // a build has all that it needs, and no more than what is in the repository
    for path in text("deploy/Dockerfile.dockerignore").lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(repository(path).exists(), "{path}");
    }
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    for kind in ["bench", "example"] {
        for target in manifest[kind].as_array().unwrap() {
            let path = target["path"].as_str().unwrap();
            let folder = path.rsplit_once('/').unwrap().0;
            assert!(text("deploy/Dockerfile.dockerignore").contains(&format!("!{folder}\n")), "{path}");
        }
    }
}

/// The environment of that router, with the repository's files in it.
fn environment(compose: &Value, router: &str) -> Vec<(String, String)> {
    let service = &services(compose)[router];
    let mounts = mounts(compose, service);
    let here = |value: &str| match mounts.iter().find(|(_, to)| to == value) {
        Some((from, _)) => from.display().to_string(),
        None => value.to_owned(),
    };
    let environment = service["environment"].as_object().unwrap();
    environment.iter().map(|(name, value)| (name.clone(), here(value.as_str().unwrap()))).collect()
}

#[test]
fn every_router_takes_its_file_with_its_environment() {
    let compose = compose();
    for router in ROUTERS {
        let service = &services(&compose)[router];
        let ["serve", "--config", at] = words(&service["command"])[..] else { panic!("{service}") };
        let (file, _) = mounts(&compose, service).into_iter().find(|(_, to)| to == at).unwrap();
        let check = |environment: &[(String, String)]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
            command.args(["config", "check", "--config"]).arg(&file).env_clear().envs(environment.iter().cloned());
            command.output().unwrap()
        };
        let environment = environment(&compose, router);
        let taken = check(&environment);
        assert!(taken.status.success(), "{router}: {}", String::from_utf8_lossy(&taken.stderr));
        let own: Vec<_> =
            environment.iter().filter(|(name, _)| name.contains("SERVER__")).map(|(_, value)| value).collect();
        assert!(own.len() == 3 && own.iter().any(|value| *value == router), "{own:?}");
        // and it is the environment that makes it so
        assert!(!check(&[]).status.success());
    }
}

#[tokio::test]
async fn a_router_a_media_node_and_the_check_of_health_run_as_they_stand_there() {
    let compose = compose();
    let mut settings = environment(&compose, "r1");
    for (_, value) in &mut settings {
        // nobody is there: a router starts without etcd, Redis and collector
        for other in ["etcd:2379", "redis:6379", "collector:4317"] {
            *value = value.replace(other, "127.0.0.1:1");
        }
        *value = value.replace("0.0.0.0:7802", "0.0.0.0:0");
    }
    let token = text("deploy/fleet/ops.token");
    remember(token.trim());
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let file = repository("deploy/fleet/router.toml");
    let router = Router::start(&["--config", file.to_str().unwrap()], &[("drain.seconds", "60")], &settings);
    let services = services(&compose);
    let check = || {
        let test = words(&services["r1"]["healthcheck"]["test"]);
        let port = router.ops.port().to_string();
        let line: Vec<_> = test[1..].iter().map(|word| word.replace("9600", &port)).collect();
        Command::new(&line[0]).args(&line[1..]).output().unwrap().status.success()
    };
    assert!(check());

    let command = words(&services["m1"]["command"]);
    assert_eq!(command[0], "media-node");
    let registry = format!("http://127.0.0.1:{}", router.media.unwrap().port());
    let drops = ["--control", "--udp", "--control-url"];
    let pairs = command[1..].chunks(2).filter(|pair| !drops.contains(&pair[0]));
    let arguments: Vec<_> =
        pairs.flat_map(|pair| [pair[0], if pair[0] == "--router" { &registry } else { pair[1] }]).collect();
    let _node = MediaNode::start(&arguments);
    let url = format!("http://127.0.0.1:{}", router.ops.port());
    let token = repository("deploy/fleet/ops.token");
    answered("the media node is known", async || {
        let (code, table, _) = run_to_end(&["nodes", "--url", &url, "--token-file", token.to_str().unwrap()]);
        (code == 0 && table.contains("m1")).then_some(())
    })
    .await;

    // the well-known key opens, and one that drains is not well
    let mut alice = Socket::connect(&router, &Token::new("r", "alice").sign()).await;
    assert!(alice.ask(json!({ "join": { "room": "r" } })).await["joined"].is_object());
    router.terminate();
    answered("it drains", async || (get(router.ops, "/health/ready").await.status == 503).then_some(())).await;
    assert!(!check());
}
