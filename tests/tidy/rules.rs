//! The rules: functions from one source to its complaints.

use super::{Complaint, Source};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const ARCHITECTURE_LINES_MAX: usize = 260;

/// Modules whose state changes by values only.
const DOMAIN: [&str; 12] = [
    "ids",
    "protocol",
    "fabric",
    "auth",
    "directory",
    "session",
    "room",
    "placement",
    "gray",
    "guard",
    "router",
    "event",
];

/// What reaches for the world. `Instant` and `Duration` as values, and `std::net::IpAddr`, are fine.
const WORLD: [(&str, &str); 18] = [
    ("Instant::now", "a clock"),
    ("SystemTime", "a clock"),
    (".elapsed()", "a clock"),
    ("tokio::", "a runtime"),
    ("tokio_util::", "a runtime"),
    ("TcpListener", "a socket"),
    ("TcpStream", "a socket"),
    ("UdpSocket", "a socket"),
    ("UnixStream", "a socket"),
    ("UnixListener", "a socket"),
    ("reqwest::", "a socket"),
    (".await", "waiting"),
    ("async fn", "waiting"),
    ("std::thread", "a thread"),
    ("thread::sleep", "a sleep"),
    ("std::fs", "the file system"),
    ("File::open", "the file system"),
    ("std::env", "the environment"),
];

const LOCKS: [&str; 5] = ["Mutex", "RwLock", "Condvar", "parking_lot", "mpsc::"];

/// Code that the compiler makes from the IDL is included, not written.
pub(super) fn purity(source: &Source) -> Vec<Complaint> {
    let Some(module) = source.module().filter(|_| source.is_rust() && !source.is_test()) else { return Vec::new() };
    let domain = DOMAIN.contains(&module);
    if !domain && module != "telemetry" {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (number, line) in source.code() {
        let mut found: Vec<_> = WORLD.iter().filter(|(word, _)| line.contains(word)).copied().collect();
        if line.contains("env::") && !line.contains("std::env") {
            found.push(("env::", "the environment"));
        }
        if domain {
            found.extend(LOCKS.iter().filter(|word| line.contains(**word)).map(|word| (*word, "a lock or a channel")));
        }
        complaints.extend(found.iter().map(|(word, what)| source.complain(number, format!("{what} (`{word}`)"))));
    }
    complaints
}

/// What everything above the core may import.
const BELOW_IO: &[&str] = &[
    "ids",
    "protocol",
    "fabric",
    "event",
    "auth",
    "session",
    "room",
    "placement",
    "gray",
    "guard",
    "directory",
    "fabric",
    "router",
    "telemetry",
    "profiler",
];

/// Who may import whom: the modules of both lists; who is not listed may import everything.
const IMPORTS: [(&str, &[&str], &[&str]); 19] = [
    ("ids", &[], &[]),
    ("protocol", &["ids"], &[]),
    ("event", &["ids", "protocol"], &[]),
    ("auth", &["ids", "protocol", "event"], &[]),
    ("fabric", &["ids", "protocol", "event"], &[]),
    ("session", &["ids", "protocol", "event", "fabric"], &[]),
    ("room", &["ids", "protocol", "event", "fabric"], &[]),
    ("placement", &["ids", "protocol", "event"], &[]),
    ("gray", &["ids", "protocol", "event"], &[]),
    ("directory", &["ids", "protocol", "event"], &[]),
    ("guard", &["ids", "protocol", "event"], &[]),
    ("router", &["ids", "protocol", "event", "fabric"], &["auth", "session", "room", "placement", "guard"]),
    ("telemetry", &["ids", "protocol", "event"], &[]),
    ("profiler", &["ids", "protocol", "event"], &["telemetry"]),
    ("io", BELOW_IO, &[]),
    ("media_node", &["ids", "protocol"], &["io", "ops_client"]),
    ("media_check", &["protocol"], &["media_node"]),
    ("config", BELOW_IO, &["io"]),
    ("app", BELOW_IO, &["io", "config", "load"]),
];

pub(super) fn imports(source: &Source) -> Vec<Complaint> {
    let Some(module) = source.module().filter(|_| source.is_rust() && !source.is_test()) else { return Vec::new() };
    let Some((_, most, more)) = IMPORTS.iter().find(|(name, ..)| *name == module) else { return Vec::new() };
    let allowed = [*most, more].concat();
    let own = |name: &str| name == module || allowed.contains(&name);
    imported(source)
        .into_iter()
        .filter(|(_, name)| !own(name))
        .map(|(line, name)| {
            let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
            source.complain(line, format!("{module} imports {name}; it may import {allowed}"))
        })
        .collect()
}

/// Lines and names of the crate's modules that a file names: `crate::room`, each of `crate::{room, ids::X}`, and
/// `super::room` where `super` is the crate's root.
fn imported(source: &Source) -> Vec<(usize, String)> {
    let code: String = source.code().flat_map(|(_, line)| [line, "\n"]).collect();
    let depth = source.path.trim_start_matches("src/").split('/').count();
    let mut found = Vec::new();
    for root in ["crate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&root) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            found.extend(heads(&code[at + root.len()..]).into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// The first names of one path or of a group of paths.
fn heads(after: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| c.is_lowercase() || *c == '_').collect::<String>();
    let Some(group) = after.strip_prefix('{') else {
        return vec![name(after)].into_iter().filter(|name| after[name.len()..].starts_with("::")).collect();
    };
    let (mut depth, mut fresh, mut heads) = (1, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => fresh = true,
            c if fresh && depth == 1 && !c.is_whitespace() => {
                fresh = false;
                heads.push(name(&group[at..]));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads.retain(|name| !name.is_empty() && name != "self");
    heads
}

pub(super) fn length(source: &Source) -> Vec<Complaint> {
    let lines: Vec<&str> = source.text.lines().collect();
    if source.path == "ARCHITECTURE.md" && lines.len() > ARCHITECTURE_LINES_MAX {
        return vec![source.complain(lines.len(), format!("more than {ARCHITECTURE_LINES_MAX} lines"))];
    }
    if !source.is_rust() {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    if lines.len() > FILE_LINES_MAX {
        complaints.push(source.complain(lines.len(), format!("more than {FILE_LINES_MAX} lines: split the file")));
    }
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_fn = code.starts_with("fn ") || (code.contains(" fn ") && !code.starts_with("//"));
        if !is_fn || code.ends_with('}') || code.ends_with(';') {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let Some(count) = lines[start..].iter().position(|line| *line == end) else { continue };
        if count + 1 > FUNCTION_LINES_MAX {
            let what = format!("a function of {} lines, at most {FUNCTION_LINES_MAX}: split it", count + 1);
            complaints.push(source.complain(start + 1, what));
        }
    }
    complaints
}

pub(super) fn opening(source: &Source) -> Vec<Complaint> {
    // test modules beside the code are opened by the module that they test
    let exempt = !source.is_rust() || (source.path.starts_with("src/") && source.is_test());
    if exempt || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![source.complain(1, "the module does not open with `//!` and what it is")]
}

pub(super) fn undone(source: &Source) -> Vec<Complaint> {
    // in halves, so that this file does not complain of itself
    let words = [concat!("tod", "o!("), concat!("unimpl", "emented!("), concat!("FIX", "ME"), concat!("#[ig", "nore")];
    let found = |line: &str| words.iter().find(|word| line.contains(**word)).copied();
    let numbered = source.text.lines().enumerate();
    numbered.filter_map(|(i, line)| Some(source.complain(i + 1, format!("`{}` is left", found(line)?)))).collect()
}

const BANNED_NAMES: [&str; 6] = ["Manager", "Helper", "Util", "Service", "Common", "Misc"];

pub(super) fn names(source: &Source) -> Vec<Complaint> {
    if !source.is_rust() {
        return Vec::new();
    }
    let stem = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
    let mut complaints = Vec::new();
    if BANNED_NAMES.iter().any(|word| stem.starts_with(&word.to_lowercase())) {
        complaints.push(source.complain(1, format!("a module called `{stem}` owns nothing")));
    }
    for (number, line) in source.code() {
        let words: Vec<&str> =
            line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        let defined = words.windows(2).find(|pair| ["struct", "enum", "trait", "type", "union"].contains(&pair[0]));
        if let Some([_, name]) = defined
            && let Some(word) = BANNED_NAMES.iter().find(|word| name.contains(**word))
        {
            complaints.push(source.complain(number, format!("`{name}`: `{word}` says nothing of what it owns")));
        }
    }
    complaints
}

pub(super) fn machine_paths(source: &Source) -> Vec<Complaint> {
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home", "/user")];
    let found = |line: &str| paths.iter().find(|path| line.contains(**path)).copied();
    let numbered = source.text.lines().enumerate();
    numbered.filter_map(|(i, line)| Some(source.complain(i + 1, format!("the path `{}`", found(line)?)))).collect()
}

pub(super) fn metrics(source: &Source) -> Vec<Complaint> {
    if !source.is_rust() || !source.path.starts_with("src/") || source.module() == Some("telemetry") {
        return Vec::new();
    }
    let words = ["counter!(", "gauge!(", "histogram!(", "use metrics::", "metrics::with_"];
    let found = |line: &str| words.iter().find(|word| line.contains(**word)).copied();
    source
        .code()
        .filter_map(|(number, line)| {
            Some(source.complain(number, format!("`{}`: metrics belong to telemetry's catalogue", found(line)?)))
        })
        .collect()
}
