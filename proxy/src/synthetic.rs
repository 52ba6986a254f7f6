//! Addresses for names: what the name server answers, and what a connection to it meant.
//!
//! They lie in the sandbox's own loopback network, where the port doors listen. A name keeps its
//! address for the whole run.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

/// The first of them.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 66, 1, 0);
/// How many there are: up to 127.66.255.255.
const COUNT: usize = 255 * 256;

/// The names that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Synthetic(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    by_place: Vec<Arc<str>>,
    places: HashMap<Arc<str>, usize>,
}

impl Synthetic {
    /// The address that stands for the name; `None` when all are given away.
    pub(crate) fn address(&self, name: &str) -> Option<Ipv4Addr> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match names.places.get(name) {
            Some(place) => *place,
            None if names.by_place.len() >= COUNT => return None,
            None => {
                let place = names.by_place.len();
                let name: Arc<str> = name.into();
                names.by_place.push(Arc::clone(&name));
                names.places.insert(name, place);
                place
            }
        };
        let place = u32::try_from(place).ok()?;
        Some(Ipv4Addr::from_bits(FIRST.to_bits() + place))
    }

    /// The name that the address stands for.
    pub(crate) fn name(&self, address: Ipv4Addr) -> Option<Arc<str>> {
        let place = address.to_bits().checked_sub(FIRST.to_bits())?;
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.by_place.get(place as usize).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_address_and_gets_it_back() {
        let all = Synthetic::default();
        let a = all.address("a.example").unwrap();
        let b = all.address("b.example").unwrap();
        assert_eq!((a, b), (FIRST, Ipv4Addr::new(127, 66, 1, 1)));
        assert_eq!(all.address("a.example"), Some(a));
        assert_eq!(all.name(b).as_deref(), Some("b.example"));
        assert_eq!(all.name(Ipv4Addr::new(127, 66, 1, 2)), None);
        assert_eq!(all.name(Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn they_come_to_an_end() {
        let all = Synthetic::default();
        for n in 0..COUNT {
            assert!(all.address(&n.to_string()).is_some());
        }
        assert_eq!(all.address("65279"), Some(Ipv4Addr::new(127, 66, 255, 255)));
        assert_eq!(all.address("one.more"), None);
    }
}
