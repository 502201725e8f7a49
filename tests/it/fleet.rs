//! `make fleet`, `make drain` and `make cost`: the scripts bring a fleet up, calls go across it, also while one of its routers drains, its cost
//! is measured, and nothing of it is left.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::harness::eventually;

/// The first of 32 ports in a row that nobody has; of each call others.
fn free_ports() -> u16 {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let first = std::process::id() as usize + 100 * CALLS.fetch_add(1, Relaxed);
    // below those that connections take by themselves
    let mut bases = (10_000..32_000).step_by(32).cycle().skip(first % 687).take(687);
    let is_free = |base: &u16| (*base..*base + 32).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    bases.find(is_free).expect("32 ports in a row")
}

fn fleet(seconds: &str, port: u16) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(folder.join("deploy/fleet/run"));
    command.args([env!("CARGO_BIN_EXE_signalbox"), seconds]).env("FLEET_PORT", port.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether all that it took is given back.
fn is_gone(port: u16) -> bool {
    (port..port + 32).all(|port| TcpStream::connect(("127.0.0.1", port)).is_err())
}

/// Few of them, and no figure of how evenly they go: beside other tests that is nobody's promise.
#[tokio::test]
async fn who_is_on_a_router_that_drains_is_resumed_elsewhere_once_and_the_script_says_so() {
    let port = free_ports();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/fleet/drain");
    let mut command = Command::new(script);
    command.arg(env!("CARGO_BIN_EXE_signalbox")).env("FLEET_PORT", port.to_string());
    command.envs([("DRAIN_SESSIONS", "240"), ("DRAIN_JOINS", "120"), ("DRAIN_SECONDS", "10")]);
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    for part in [
        "| 10 | 0 | 100 % | 100 % |",
        "holds   240 sessions joined",
        "on r3 moved once",
        "holds   and was resumed once",
        "holds   r1 and r2 have 240",
        "holds   no join was refused for good",
        "holds   nothing was lost, doubled, out of order or unanswered",
        "holds   the load's own verdicts",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}\n{errors}");
    }
    assert!(is_gone(port));
}

/// What `make cost` says of one short run, and its code.
fn cost(port: u16, rate: &str) -> (String, String, Option<i32>) {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/fleet/cost"));
    command.arg(env!("CARGO_BIN_EXE_signalbox")).env("FLEET_PORT", port.to_string()).env("COST_RATE", rate);
    command.envs([
        ("COST_RUNS", "1"),
        ("COST_SECONDS", "2"),
        ("COST_CALM", "0"),
        ("COST_ROOMS", "4"),
        ("COST_SIZE", "4"),
    ]);
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let [told, errors] = [ended.stdout, ended.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (told, errors, ended.status.code())
}

/// No figure of it is anybody's promise beside other tests, but that of Redis is: it is a count.
#[tokio::test]
async fn the_cost_of_a_fleet_is_measured_and_the_code_is_the_verdict() {
    let port = free_ports();
    let (told, errors, code) = cost(port, "20");
    let rows: Vec<Vec<_>> = told.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    let row = |begins: &str| {
        let row = rows.iter().find(|row| row.get(1).is_some_and(|what| what.starts_with(begins)));
        row.unwrap_or_else(|| panic!("no row `{begins}` in:\n{told}\n{errors}"))
    };
    let figure = |cell: &str| cell.split(' ').next().unwrap().parse::<f64>().unwrap();
    let mut failed = false;
    for (begins, most) in [("CPU a delivery within", 1.1), ("P99 within", 1.5)] {
        let row = row(begins);
        let (of_fleet, alone) = (figure(row[2]), figure(row[3]));
        assert!(of_fleet > 0.0 && alone > 0.0, "{row:?}");
        assert_eq!(row[6] == "FAILED", of_fleet > most * alone, "{row:?}");
        failed |= row[6] == "FAILED";
    }
    let (across, commands) = (row("P99 across"), row("commands to Redis a room event"));
    let (of_three, of_one) = (figure(across[2]), figure(across[3]));
    assert_eq!(across[6] == "FAILED", of_three > 10.0 && of_three > 3.0 * of_one, "{across:?}");
    failed |= across[6] == "FAILED";
    assert!((0.01..1.0).contains(&figure(commands[2])) && commands[6] == "holds", "{commands:?}");
    assert_eq!(code, Some(i32::from(failed)), "{told}\n{errors}");
    assert!(is_gone(port));

    let (told, errors, code) = cost(port, "nonsense");
    assert!(code == Some(2) && errors.contains("the load of run alone-1 did not end well"), "{told}\n{errors}");
    assert!(is_gone(port));
}

#[tokio::test]
async fn calls_go_across_three_routers_one_of_which_drains_and_nothing_is_left_of_them_also_when_they_are_interrupted()
{
    let port = free_ports();
    let ended = fleet("9", port).env("FLEET_DRAIN", "3").output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{told}\n{errors}");
    for part in [
        "r1 (this one)",
        "2 media nodes, watching",
        "r3 is there again",
        "lost         0",
        "doubled      0",
        "moved on",
        "r2 (this one)",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}\n{errors}");
    }
    assert!(is_gone(port));

    // interrupted it ends all of it, too; and a port that is taken is named
    let mut child = fleet("0", port).spawn().unwrap();
    let third = port + 3;
    eventually("the fleet is there", || TcpStream::connect(("127.0.0.1", third)).is_ok()).await;
    let second = fleet("1", port).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("is taken; FLEET_PORT=… begins elsewhere"), "{said}");
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let mut status = None;
    eventually("it ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(143));
    assert!(is_gone(port));
}
