//! One file of code: its debug information, else its symbols; and its build id.

use std::{fmt, fs::File, path::Path, sync::Arc};

use addr2line::Loader;
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, ReadCache, SymbolKind, read::File as ObjectFile};

use super::Named;

/// A segment of the file that is loaded: where it is in the file, and which address it means to have.
#[derive(Clone, Copy, Debug)]
struct Segment {
    offset: u64,
    size: u64,
    address: u64,
}

/// A function by its symbol.
#[derive(Clone, Debug)]
struct Symbol {
    address: u64,
    size: u64,
    name: Box<str>,
}

/// What a file tells of its code. One that cannot be read tells nothing.
#[derive(Default)]
pub(super) struct Code {
    segments: Vec<Segment>,
    loader: Option<Loader>,
    /// By address.
    symbols: Vec<Symbol>,
}

impl Code {
    /// Reads what it needs to find names in a file.
    pub(super) fn open(path: &Path) -> Self {
        read(path, |object| {
            let segment = |segment: object::Segment<'_, '_, _>| {
                let (offset, size) = segment.file_range();
                Segment { offset, size, address: segment.address() }
            };
            let symbol = |symbol: object::Symbol<'_, '_, _>| {
                let named = symbol.kind() == SymbolKind::Text && symbol.is_definition() && symbol.size() > 0;
                let name = symbol.name().ok().filter(|name| named && !name.is_empty())?;
                Some(Symbol { address: symbol.address(), size: symbol.size(), name: name.into() })
            };
            let mut symbols: Vec<_> = object.symbols().chain(object.dynamic_symbols()).filter_map(symbol).collect();
            symbols.sort_by_key(|symbol| symbol.address);
            Self { segments: object.segments().map(segment).collect(), loader: None, symbols }
        })
        .map(|code| Self { loader: Loader::new(path).ok(), ..code })
        .unwrap_or_default()
    }

    /// The functions at an offset of the file, the innermost first.
    pub(super) fn lines(&self, offset: u64) -> Vec<Named> {
        let within = |segment: &&Segment| segment.offset <= offset && offset - segment.offset < segment.size;
        let Some(segment) = self.segments.iter().find(within) else { return Vec::new() };
        let address = offset - segment.offset + segment.address;
        let lines = self.loader.as_ref().map(|loader| debug_lines(loader, address)).unwrap_or_default();
        if !lines.is_empty() {
            return lines;
        }
        self.symbol(address).into_iter().collect()
    }

    /// Only a symbol that covers the address: the nearest of a stripped file is somebody else.
    fn symbol(&self, address: u64) -> Option<Named> {
        let behind = self.symbols.partition_point(|symbol| symbol.address <= address);
        let symbol =
            self.symbols[..behind].iter().rev().take(8).find(|s| address < s.address.saturating_add(s.size))?;
        let function = format!("{:#}", rustc_demangle::demangle(&symbol.name));
        Some(Named { function: function.into(), file: "".into(), line: 0 })
    }
}

fn debug_lines(loader: &Loader, address: u64) -> Vec<Named> {
    let mut lines = Vec::new();
    let Ok(mut frames) = loader.find_frames(address) else { return lines };
    while let Ok(Some(frame)) = frames.next() {
        let function = frame.function.and_then(|name| name.demangle().ok().map(|name| Arc::<str>::from(&*name)));
        let Some(function) = function else { continue };
        let (file, line) = frame.location.map_or((None, None), |location| (location.file, location.line));
        lines.push(Named { function, file: file.unwrap_or_default().into(), line: line.unwrap_or(0) });
    }
    lines
}

/// The build id of a file in hexadecimal digits; empty: it has none.
pub(super) fn build_id(path: &Path) -> String {
    let digits = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect();
    read(path, |object| object.build_id().ok().flatten().map(digits)).flatten().unwrap_or_default()
}

/// Reads a file piece by piece, as little of it as is needed.
fn read<T>(path: &Path, with: impl FnOnce(&ObjectFile<'_, &ReadCache<File>>) -> T) -> Option<T> {
    let cache = ReadCache::new(File::open(path).ok()?);
    ObjectFile::parse(&cache).ok().map(|object| with(&object))
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("symbols", &self.symbols.len()).finish_non_exhaustive()
    }
}
