//! Addresses to names: which file, function and line, inlined functions included. Slow, so on demand and cached.
//!
//! `addr2line` reads the debug information of the files that are mapped; what has none is told by its symbol table,
//! where the symbol's size covers the address, and else by the file's name. Touches files, never a socket.

mod code;
mod names;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};

pub(crate) use self::names::{COMMAND, answer_all};
use self::names::{Names, Place};
use super::{
    heap::{Allocated, Allocations, SAMPLED_BYTES, is_allocator},
    marks,
    profile::{Function, Line, Location, Mapping, OP, Profile, Sample, THREAD, UNKNOWN, ValueType},
    ring::Window,
};

/// Addresses whose names are kept; when there are more, all are forgotten and resolved anew.
const CACHED_MAX: usize = 65_536;
/// What stands for what a bounded ring kept as a sum only.
const THINNED: &str = "[thinned]";

/// The names of one function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    function: Arc<str>,
    file: Arc<str>,
    line: u32,
}

/// What is known of one address.
#[derive(Clone, Debug, Default)]
struct Resolved {
    /// Its place among the maps.
    map: Option<usize>,
    /// The innermost first; empty: nothing.
    lines: Arc<[Named]>,
    /// The op that its function marks.
    mark: Option<&'static str>,
    /// Whether a thread begins in it: below it a stack is whole.
    root: bool,
}

impl Resolved {
    fn name(&mut self, mut lines: Vec<Named>) {
        self.mark = lines.iter().find_map(|line| marks::word_of(&line.function));
        if let (Some(mark), Some(outermost)) = (self.mark, lines.last_mut()) {
            // what a person reads: the mark, not the function that makes it
            outermost.function = format!("op:{mark}").into();
        }
        self.root = lines.iter().any(|line| is_root(&line.function));
        self.lines = lines.into();
    }
}

/// A part of a file that code is executed from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Map {
    start: u64,
    limit: u64,
    offset: u64,
    path: Arc<str>,
    /// To open it by: what is executed may have been replaced on disk.
    open: std::path::PathBuf,
}

/// Resolves the addresses of this process.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    maps: Vec<Map>,
    names: Names,
    build_ids: HashMap<Arc<str>, Arc<str>>,
    cache: HashMap<u64, Resolved>,
    /// Of these in the cache the names were not answered.
    unnamed: Vec<u64>,
}

impl Symbols {
    /// `outside`: this program has the subcommand [`COMMAND`], so that names are found in a process of its own.
    pub(super) fn new(outside: bool) -> Self {
        Self { names: Names::new(outside), ..Self::default() }
    }

    /// A window with names. `begun` is its beginning since the Unix epoch, `period` the CPU time between two samples.
    pub(super) fn resolve(&mut self, window: &Window, begun: Duration, period: Duration) -> Profile {
        self.look_up(window.stacks.iter().flat_map(|stack| stack.addresses.iter().copied()));
        let mut building = Building::new(Profile::cpu(period, begun, window.until.saturating_sub(window.from)));
        for stack in &window.stacks {
            let mut mark = None;
            let mut whole = stack.addresses.is_empty();
            let mut places = Vec::with_capacity(stack.addresses.len());
            for address in stack.addresses.iter() {
                let resolved = self.address(*address);
                mark = mark.or(resolved.mark);
                whole |= resolved.root;
                places.push(building.location(*address, &resolved));
            }
            if stack.addresses.is_empty() {
                places.push(building.thinned());
            }
            let mut labels = vec![(THREAD.into(), stack.thread.clone())];
            // cut short above its mark, or without one on the whole way down: only the second is known to have none
            if let Some(op) = mark.or((!whole).then_some(UNKNOWN)) {
                labels.push((OP.into(), op.into()));
            }
            let weight = stack.weight.as_nanos() as u64;
            building.profile.samples.push(Sample { stack: places, count: stack.count, weight, labels });
        }
        building.profile.mappings = self.mappings();
        building.profile
    }

    /// Allocations with names, of that moment since the Unix epoch; what is the allocator's own is cut off.
    pub(super) fn allocations(&mut self, allocated: &[Allocated], kind: Allocations, at: Duration) -> Profile {
        self.look_up(allocated.iter().flat_map(|of_stack| of_stack.stack.iter().copied()));
        let [objects, bytes] = kind.values();
        let mut profile = Profile::cpu(Duration::ZERO, at, Duration::ZERO);
        profile.values = [ValueType::new(objects, "count"), ValueType::new(bytes, "bytes")];
        profile.period = SAMPLED_BYTES;
        let mut building = Building::new(profile);
        for Allocated { stack, objects, bytes } in allocated {
            let resolved = stack.iter().map(|address| (*address, self.address(*address)));
            let own = |resolved: &Resolved| resolved.lines.iter().any(|line| is_allocator(&line.function));
            let of_interest = resolved.skip_while(|(_, resolved)| own(resolved));
            let stack: Vec<_> = of_interest.map(|(address, resolved)| building.location(address, &resolved)).collect();
            building.profile.samples.push(Sample { stack, count: *objects, weight: *bytes, labels: Vec::new() });
        }
        building.profile.mappings = self.mappings();
        building.profile
    }

    /// The functions of one stack, the innermost first.
    pub(super) fn names(&mut self, addresses: &[u64]) -> Vec<String> {
        self.look_up(addresses.iter().copied());
        let mut names = Vec::new();
        for address in addresses {
            let resolved = self.address(*address);
            let file = resolved.map.and_then(|map| self.maps.get(map)).map_or("[unknown]", |map| &map.path);
            match &*resolved.lines {
                [] => names.push(file.to_owned()),
                lines => names.extend(lines.iter().map(Named::to_string)),
            }
        }
        names
    }

    /// Lets go of debug information that nobody needs.
    pub(super) fn rest(&mut self, now: Instant) {
        self.names.rest(now);
    }

    /// What is known of an address that was looked up.
    fn address(&self, address: u64) -> Resolved {
        self.cache.get(&address).cloned().unwrap_or_default()
    }

    /// Finds the names of all addresses that are not known yet, in one question.
    fn look_up(&mut self, addresses: impl Iterator<Item = u64>) {
        if self.cache.len() > CACHED_MAX {
            self.cache.clear();
        }
        for address in self.unnamed.drain(..) {
            self.cache.remove(&address);
        }
        let mut unknown = Vec::new();
        let mut places = Vec::new();
        for address in addresses {
            if self.cache.contains_key(&address) {
                continue;
            }
            // known at least where it is, once in a question
            let map = self.map_of(address);
            self.cache.insert(address, Resolved { map, ..Resolved::default() });
            if let Some(map) = map {
                let Map { start, offset, open, .. } = &self.maps[map];
                places.push(Place { file: open.clone(), offset: address - start + offset });
                unknown.push(address);
            }
        }
        if places.is_empty() {
            return;
        }
        let mut answers = self.names.find(&places).unwrap_or_default().into_iter();
        for address in &unknown {
            match (answers.next(), self.cache.get_mut(address)) {
                (Some(lines), Some(resolved)) => resolved.name(lines),
                // not answered: asked again the next time, and until then its file is its name
                _ => self.unnamed.push(*address),
            }
        }
    }

    /// Files that are mapped later are found when an address in them is first seen.
    fn map_of(&mut self, address: u64) -> Option<usize> {
        let find = |maps: &[Map]| maps.iter().position(|map| map.start <= address && address < map.limit);
        find(&self.maps).or_else(|| {
            for map in executable_maps() {
                // places of those that are known stay what they are
                if !self.maps.contains(&map) {
                    self.maps.push(map);
                }
            }
            find(&self.maps)
        })
    }

    fn mappings(&mut self) -> Vec<Mapping> {
        let Self { maps, build_ids, .. } = self;
        let each = maps.iter().map(|map| Mapping {
            start: map.start,
            limit: map.limit,
            offset: map.offset,
            file: map.path.clone(),
            build_id: build_ids.entry(map.path.clone()).or_insert_with(|| code::build_id(&map.open).into()).clone(),
        });
        each.collect()
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&*self.file, self.line) {
            ("", _) => write!(f, "{}", self.function),
            (file, line) => write!(f, "{} ({}:{line})", self.function, file.rsplit('/').next().unwrap_or(file)),
        }
    }
}

/// Where threads begin: std's own, and `main`.
fn is_root(function: &str) -> bool {
    let begins = function.contains("::thread_start") && function.trim_start_matches('<').starts_with("std::sys");
    begins
        || matches!(
            function,
            "main" | "_start" | "__libc_start_main" | "__libc_start_call_main" | "std::rt::lang_start"
        )
}

fn executable_maps() -> Vec<Map> {
    let maps = Process::myself().and_then(|process| process.maps());
    let executed = |map: &MemoryMap| map.perms.contains(MMPermissions::EXECUTE);
    let own = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let map = |map: MemoryMap| {
        let (path, open) = match map.pathname {
            // the link leads to what runs, also when another file has its name by now
            MMapPath::Path(path) if path == own => (path.to_string_lossy().into_owned(), "/proc/self/exe".into()),
            MMapPath::Path(path) => (path.to_string_lossy().into_owned(), path),
            MMapPath::Vdso => ("[vdso]".to_owned(), std::path::PathBuf::new()),
            _ => ("[anonymous]".to_owned(), std::path::PathBuf::new()),
        };
        Map { start: map.address.0, limit: map.address.1, offset: map.offset, path: path.into(), open }
    };
    maps.map(|maps| maps.into_iter().filter(executed).map(map).collect()).unwrap_or_default()
}

/// A profile while it is put together.
struct Building {
    profile: Profile,
    locations: HashMap<u64, u32>,
    functions: HashMap<(Arc<str>, Arc<str>), u32>,
}

impl Building {
    fn new(profile: Profile) -> Self {
        Self { profile, locations: HashMap::new(), functions: HashMap::new() }
    }

    fn location(&mut self, address: u64, resolved: &Resolved) -> u32 {
        if let Some(place) = self.locations.get(&address) {
            return *place;
        }
        let lines = resolved.lines.iter();
        let lines = lines.map(|named| Line { function: self.function(&named.function, &named.file), line: named.line });
        let lines = lines.collect();
        let mapping = resolved.map.map(|map| map as u32);
        self.profile.locations.push(Location { address, mapping, lines });
        let place = self.profile.locations.len() as u32 - 1;
        self.locations.insert(address, place);
        place
    }

    fn thinned(&mut self) -> u32 {
        let lines = [Named { function: THINNED.into(), file: "".into(), line: 0 }];
        self.location(0, &Resolved { map: None, lines: lines.into(), mark: None, root: true })
    }

    fn function(&mut self, name: &Arc<str>, file: &Arc<str>) -> u32 {
        let functions = &mut self.profile.functions;
        *self.functions.entry((name.clone(), file.clone())).or_insert_with(|| {
            functions.push(Function { name: name.clone(), file: file.clone() });
            functions.len() as u32 - 1
        })
    }
}

#[cfg(test)]
mod tests;
