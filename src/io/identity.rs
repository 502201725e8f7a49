//! Who presents this token? Static keys answer at once; keys of providers are fetched, opaque tokens asked about.
