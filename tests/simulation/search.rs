//! The search over seeds: worlds of a kind, on all cores, until enough of them break a rule.

use std::{
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

/// What a kind of world is called, and how one is lived.
pub(crate) struct Kind {
    /// `KIND=` picks it.
    pub(crate) name: &'static str,
    /// Worlds in `cargo test`; `SEEDS` says another number.
    pub(crate) seeds: u64,
    /// The rules that the world of a seed breaks.
    pub(crate) broken: fn(u64) -> Vec<String>,
    /// What happens in it, in words.
    pub(crate) history: fn(u64) -> Vec<String>,
}

/// Worlds of these seeds that break a rule, and which rule.
pub(crate) fn search(
    seeds: Range<u64>,
    enough: usize,
    broken: impl Fn(u64) -> Vec<String> + Sync,
) -> Vec<(u64, Vec<String>)> {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(Vec::new());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end || found.lock().unwrap().len() >= enough {
                        return;
                    }
                    let broken = broken(seed);
                    if !broken.is_empty() {
                        found.lock().unwrap().push((seed, broken));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    found
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

impl Kind {
    /// Lives the worlds that the environment asks for, else those of `cargo test`, and fails with the rules that any of them breaks.
    pub(crate) fn holds(&self) {
        let kind = std::env::var("KIND").unwrap_or_default();
        assert!(["", "directory", "kept"].contains(&kind.as_str()), "KIND is directory or kept, not {kind}");
        if !kind.is_empty() && kind != self.name {
            return;
        }
        if let Some(seed) = number("SEED") {
            if std::env::var_os("TRACE").is_some() {
                (self.history)(seed).iter().for_each(|line| println!("{line}"));
            }
            let broken = (self.broken)(seed);
            assert!(broken.is_empty(), "{} seed {seed}:\n{}", self.name, broken.join("\n"));
            return;
        }
        let (seeds, begun) = (number("SEEDS").unwrap_or(self.seeds), Instant::now());
        let found = search(0..seeds, 3, self.broken);
        println!("{seeds} worlds ({}) in {:.1} s", self.name, begun.elapsed().as_secs_f64());
        let tell = |(seed, broken): &(u64, Vec<String>)| {
            format!("make simulate KIND={} SEED={seed}:\n  {}", self.name, broken.join("\n  "))
        };
        let told: Vec<String> = found.iter().map(tell).collect();
        assert!(found.is_empty(), "{}", told.join("\n"));
    }
}
