//! Rules of the router, in virtual time.
