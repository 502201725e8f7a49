//! How many connections there may be: in all, of one address, and with an unfinished handshake.
//!
//! Counts only what lives, so the map of addresses is never longer than the connections that are open.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;

use crate::protocol::Code;

/// The bounds of one listener. Each is the greatest number that is still let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Open connections in all.
    pub connections_max: usize,
    /// Open connections of one client address (IPv6: of one /64).
    pub connections_per_address_max: usize,
    /// Connections whose PROXY header or TLS handshake is unfinished.
    pub handshakes_max: usize,
}

/// The places of one listener, shared by its connections.
#[derive(Debug)]
pub struct Limits {
    settings: ArcSwap<LimitSettings>,
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, usize, ahash::RandomState>>,
}

impl Limits {
    /// All places free.
    pub fn new(settings: LimitSettings) -> Arc<Self> {
        Arc::new(Self {
            settings: ArcSwap::from_pointee(settings),
            connections: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            addresses: Mutex::default(),
        })
    }

    /// The bounds.
    pub fn settings(&self) -> LimitSettings {
        **self.settings.load()
    }

    /// Other bounds, from now on. Whoever holds a place beyond them keeps it.
    pub fn configure(&self, settings: LimitSettings) {
        self.settings.store(Arc::new(settings));
    }

    /// Connections that hold a place now.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Handshakes that are unfinished now.
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Relaxed)
    }

    /// Addresses that hold a place now.
    pub fn addresses(&self) -> usize {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A place among all connections.
    ///
    /// # Errors
    /// [`Code::RouterFull`] when all are taken.
    pub fn enter(self: &Arc<Self>) -> Result<Permit, Code> {
        take(&self.connections, self.settings().connections_max)?;
        Ok(Permit { limits: self.clone(), address: None })
    }

    /// A place for an unfinished handshake.
    ///
    /// # Errors
    /// [`Code::RouterFull`] when all are taken.
    pub fn enter_handshake(self: &Arc<Self>) -> Result<HandshakePermit, Code> {
        take(&self.handshakes, self.settings().handshakes_max)?;
        Ok(HandshakePermit(self.clone()))
    }

    /// A place among the connections of a client's address. For clients behind a trusted proxy the gateway asks, once
    /// it has read their address from the request.
    ///
    /// # Errors
    /// [`Code::TooManyConnections`] when that address holds as many as it may.
    pub fn enter_address(self: &Arc<Self>, address: IpAddr) -> Result<AddressPermit, Code> {
        let key = origin_of(address);
        self.take_address(key)?;
        Ok(AddressPermit { limits: self.clone(), key })
    }

    fn take_address(&self, key: IpAddr) -> Result<(), Code> {
        let max = self.settings().connections_per_address_max;
        match self.addresses.lock().unwrap_or_else(PoisonError::into_inner).entry(key) {
            Entry::Occupied(held) if *held.get() >= max => return Err(Code::TooManyConnections),
            Entry::Occupied(mut held) => *held.get_mut() += 1,
            Entry::Vacant(_) if max == 0 => return Err(Code::TooManyConnections),
            Entry::Vacant(free) => {
                free.insert(1);
            }
        }
        Ok(())
    }

    fn release_address(&self, key: IpAddr) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut held) = addresses.entry(key) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
        // A crowd that has left leaves no empty table behind.
        if addresses.capacity() > 1024 && addresses.len() < addresses.capacity() / 8 {
            let kept = addresses.len() * 2;
            addresses.shrink_to(kept);
        }
    }
}

/// Takes one of `max` places.
fn take(count: &AtomicUsize, max: usize) -> Result<(), Code> {
    count
        .fetch_update(Relaxed, Relaxed, |taken| (taken < max).then_some(taken + 1))
        .map(|_| ())
        .map_err(|_| Code::RouterFull)
}

/// What counts as one address: IPv4 as it is, IPv6 by its /64, for that is what one host commonly holds.
pub(crate) fn origin_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        other => other,
    }
}

/// A connection's places: one among all and, once its address is known to be the client's, one of that address.
/// Dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<Limits>,
    address: Option<IpAddr>,
}

impl Permit {
    /// Takes the place of an address too. Asked again, keeps the first.
    ///
    /// # Errors
    /// [`Code::TooManyConnections`] when that address holds as many as it may.
    pub fn enter_address(&mut self, address: IpAddr) -> Result<(), Code> {
        if self.address.is_none() {
            let key = origin_of(address);
            self.limits.take_address(key)?;
            self.address = Some(key);
        }
        Ok(())
    }

    /// The limits whose places it holds.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limits.connections.fetch_sub(1, Relaxed);
        if let Some(key) = self.address {
            self.limits.release_address(key);
        }
    }
}

/// One place among the connections of an address. Dropping it gives it back.
#[derive(Debug)]
pub struct AddressPermit {
    limits: Arc<Limits>,
    key: IpAddr,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        self.limits.release_address(self.key);
    }
}

/// One place among the unfinished handshakes. Dropping it gives it back.
#[derive(Debug)]
pub struct HandshakePermit(Arc<Limits>);

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Arc<Limits> {
        Limits::new(LimitSettings { connections_max: 3, connections_per_address_max: 2, handshakes_max: 1 })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_place_is_given_and_none_beyond_it_until_one_is_free() {
        let limits = limits();
        let mut held: Vec<Permit> = (0..3).map(|_| limits.enter().unwrap()).collect();
        assert_eq!(limits.enter().unwrap_err(), Code::RouterFull);
        held.pop();
        assert_eq!(limits.connections(), 2);
        assert!(limits.enter().is_ok());
    }

    #[test]
    fn an_address_is_bounded_alone_and_forgotten_when_it_has_left() {
        let limits = limits();
        let first = limits.enter_address(ip("203.0.113.1")).unwrap();
        let _second = limits.enter_address(ip("::ffff:203.0.113.1")).unwrap();
        assert_eq!(limits.enter_address(ip("203.0.113.1")).unwrap_err(), Code::TooManyConnections);
        let other = limits.enter_address(ip("203.0.113.2")).unwrap();
        assert_eq!(limits.addresses(), 2);
        drop((first, other));
        assert_eq!(limits.addresses(), 1);
        assert!(limits.enter_address(ip("203.0.113.1")).is_ok());
    }

    #[test]
    fn a_v6_host_cannot_multiply_itself_within_its_network() {
        let limits = limits();
        let _held = [ip("2001:db8::1"), ip("2001:db8::2")].map(|address| limits.enter_address(address).unwrap());
        assert!(limits.enter_address(ip("2001:db8::3")).is_err());
        assert!(limits.enter_address(ip("2001:db8:0:1::3")).is_ok());
        assert!(limits.enter_address(ip("::1")).is_ok());
    }

    #[test]
    fn a_permit_gives_back_both_of_its_places_and_is_small() {
        let limits = limits();
        let mut permit = limits.enter().unwrap();
        permit.enter_address(ip("203.0.113.1")).unwrap();
        permit.enter_address(ip("203.0.113.1")).unwrap();
        assert_eq!((limits.connections(), limits.addresses()), (1, 1));
        drop(permit);
        assert_eq!((limits.connections(), limits.addresses()), (0, 0));
        assert!(size_of::<Permit>() <= 32);
    }

    #[test]
    fn other_bounds_hold_for_whoever_comes_and_take_no_place_away() {
        let limits = limits();
        let held: Vec<Permit> = (0..3).map(|_| limits.enter().unwrap()).collect();
        limits.configure(LimitSettings { connections_max: 1, ..limits.settings() });
        assert_eq!((limits.connections(), limits.enter().unwrap_err()), (3, Code::RouterFull));
        drop(held);
        let _one = limits.enter().unwrap();
        assert!(limits.enter().is_err());
        limits.configure(LimitSettings { connections_max: 2, ..limits.settings() });
        assert!(limits.enter().is_ok());
    }

    #[test]
    fn unfinished_handshakes_have_a_bound_of_their_own() {
        let limits = limits();
        let held = limits.enter_handshake().unwrap();
        assert_eq!(limits.enter_handshake().unwrap_err(), Code::RouterFull);
        drop(held);
        assert_eq!(limits.handshakes(), 0);
    }
}
