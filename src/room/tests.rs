//! Rules of one room that the router's tests do not reach.
