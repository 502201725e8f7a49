//! Every way to be let in, and every way not to be.
