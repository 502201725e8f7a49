//! How a section of the tree is declared, and how the tree is walked.
//!
//! One declaration a key: name, type, default, what is allowed, and why. The typed structs, the reader, the
//! listing and the example file all come from it, so they cannot disagree.

/// A type that a key can have.
pub(super) trait Setting: Sized {
    /// What narrows the type down: a range, a list of names.
    type Rule;
    /// Never shown.
    const SECRET: bool = false;

    /// The value, if it is allowed.
    fn decode(given: Given<'_>, rule: &Self::Rule) -> Option<Self>;
    /// The value for people and programs; its JSON text is TOML as well. Secrets hide themselves.
    fn shown(&self) -> serde_json::Value;
    /// The whole value, secrets as well: to be hashed and compared, never to be shown.
    fn whole(&self) -> serde_json::Value {
        self.shown()
    }
    /// What is allowed, for errors and the example file.
    fn allowed(rule: &Self::Rule) -> String;
}

/// A value as a layer holds it.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) value: &'a figment::value::Value,
    /// From the environment or a flag, which know only text.
    pub(super) text: bool,
}

/// What is the same for every type about a key.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    /// From the root, with dots.
    pub(super) path: &'a str,
    /// What it is, and why its default is what it is; one line each.
    pub(super) why: &'static [&'static str],
    /// When a new value counts.
    pub(super) nature: Nature,
}

/// When a new value of a key counts, and for whom. This is the one place that says what can change live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Read once, when the router starts.
    Start,
    /// Taken up while the router runs, for what begins from then on.
    Live,
    /// As [`Nature::Start`], and of this router alone: others of its fleet have another value.
    Own,
}

impl Nature {
    /// Whether a new value is taken up while the router runs.
    pub(super) const fn is_live(self) -> bool {
        matches!(self, Self::Live)
    }
}

/// Walks the tree: reads it, lists it, writes it down.
pub(super) trait Visitor {
    /// Before what is inside a section.
    fn section(&mut self, at: &str, why: &'static [&'static str]);
    /// A key.
    fn key<T: Setting>(&mut self, key: Key<'_>, slot: &mut T, rule: &T::Rule);
    /// What is in the file that a key names, once it has been read.
    fn contents<T: Setting>(&mut self, _key: &str, _contents: &T) {}
    /// The names under which a map has (or is to have) entries.
    fn names(&mut self, at: &str, present: Vec<String>, example: &str) -> Vec<String>;
    /// The paths of the items that a list of sections has (or is to have).
    fn items(&mut self, at: &str, present: usize) -> Vec<String>;
}

/// Something with keys inside.
pub(super) trait Part: Default {
    /// A name for the entry that the example file shows of a map of these.
    const EXAMPLE_NAME: &'static str = "name";

    /// Shows all keys inside to the visitor.
    fn visit<V: Visitor>(&mut self, at: &str, visitor: &mut V);
}

/// A map of sections by names of the operator's choice.
impl<T: Part> Part for std::collections::BTreeMap<String, T> {
    fn visit<V: Visitor>(&mut self, at: &str, visitor: &mut V) {
        for name in visitor.names(at, self.keys().cloned().collect(), T::EXAMPLE_NAME) {
            let path = join(at, &name);
            self.entry(name).or_default().visit(&path, visitor);
        }
    }
}

/// A list of sections.
impl<T: Part> Part for Vec<T> {
    const EXAMPLE_NAME: &'static str = T::EXAMPLE_NAME;

    fn visit<V: Visitor>(&mut self, at: &str, visitor: &mut V) {
        let paths = visitor.items(at, self.len());
        self.resize_with(paths.len(), T::default);
        for (item, path) in self.iter_mut().zip(&paths) {
            item.visit(path, visitor);
        }
    }
}

/// The path of a key inside a section; names that are not bare words are quoted, as in TOML.
pub(super) fn join(at: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    match (at, bare) {
        ("", true) => key.to_owned(),
        ("", false) => format!("{key:?}"),
        (_, true) => format!("{at}.{key}"),
        (_, false) => format!("{at}.{key:?}"),
    }
}

/// The word for it in a declaration.
macro_rules! nature {
    () => {
        $crate::config::schema::Nature::Start
    };
    (live) => {
        $crate::config::schema::Nature::Live
    };
    (own) => {
        $crate::config::schema::Nature::Own
    };
}
pub(super) use nature;

/// Declares a section: `keys` with type, default, rule and, where it is not read at start only, `live` or `own`;
/// `sections` inside it; `derived` fields that are not keys: what is in the file of the key `NAME_file`.
macro_rules! section {
    (
        $(#[doc = $why:literal])+
        pub struct $name:ident {
            $(example_name $example:literal;)?
            keys { $( $(#[doc = $key_why:literal])+ $key:ident: $type:ty = $default:expr, $rule:expr $(, $nature:ident)?; )* }
            $(sections { $( $(#[doc = $part_why:literal])+ $part:ident: $part_type:ty; )* })?
            $(derived { $( $(#[doc = $derived_why:literal])+ $derived:ident: $derived_type:ty; )* })?
        }
    ) => {
        $(#[doc = $why])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[doc = $key_why])+ pub $key: $type, )*
            $($( $(#[doc = $part_why])+ pub $part: $part_type, )*)?
            $($( $(#[doc = $derived_why])+ pub $derived: $derived_type, )*)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $key: $default, )*
                    $($( $part: Default::default(), )*)?
                    $($( $derived: Default::default(), )*)?
                }
            }
        }

        impl $crate::config::schema::Part for $name {
            $(const EXAMPLE_NAME: &'static str = $example;)?

            fn visit<V: $crate::config::schema::Visitor>(&mut self, at: &str, visitor: &mut V) {
                use $crate::config::schema;
                visitor.section(at, &[$($why),+]);
                $(
                    let path = schema::join(at, stringify!($key));
                    let nature = schema::nature!($($nature)?);
                    visitor.key(schema::Key { path: &path, why: &[$($key_why),+], nature }, &mut self.$key, &$rule);
                )*
                $($(
                    visitor.contents(&schema::join(at, concat!(stringify!($derived), "_file")), &self.$derived);
                )*)?
                $($( self.$part.visit(&schema::join(at, stringify!($part)), visitor); )*)?
            }
        }
    };
}
pub(super) use section;
