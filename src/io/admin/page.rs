//! Pages of a list: which one is asked for, and where it ends.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;

use crate::protocol::{Code, Refusal};

/// Items on a page when the request does not say.
const SIZE_DEFAULT: usize = 100;

/// A page ends early rather than pass this, so that it stays below what gRPC clients take at most by default (4 MiB).
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// What the token of a page may be as long as; names are much shorter.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A page that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The last name of the page before; empty: from the first.
    pub(super) after: String,
    size: usize,
}

impl Page {
    /// Reads what a request says; 0 means that it does not say how many.
    pub(super) fn read(size: u32, token: &str, size_max: usize) -> Result<Self, Refusal> {
        let size = match usize::try_from(size).unwrap_or(usize::MAX) {
            0 => SIZE_DEFAULT.min(size_max),
            size if size <= size_max => size,
            size => return Err(wrong_size(size, size_max)),
        };
        let after = name_of(token).ok_or_else(|| {
            Code::BadRequest
                .because("page_token: not one that this list gave; leave it out to begin with the first page")
        })?;
        Ok(Self { after, size })
    }

    /// How many to ask the router for: one more than the page holds, which tells whether another page follows.
    pub(super) fn limit(&self) -> usize {
        self.size + 1
    }

    /// Cuts what came to the page, and says the token of the next one; empty when there is none.
    pub(super) fn cut<T: Message>(&self, mut items: Vec<T>, name: impl Fn(&T) -> &str) -> (Vec<T>, String) {
        let mut bytes = 0;
        let too_large = |item: &T| {
            bytes += item.encoded_len();
            bytes > BYTES_MAX
        };
        // one item always fits, or the list would never end
        let end = items.iter().position(too_large).unwrap_or(items.len()).clamp(1, self.size);
        let more = end < items.len();
        items.truncate(end);
        let token = items.last().filter(|_| more).map(|last| token_of(name(last))).unwrap_or_default();
        (items, token)
    }
}

/// The refusal of a page size that is not allowed.
pub(super) fn wrong_size(size: impl std::fmt::Display, size_max: usize) -> Refusal {
    let why = format!("page_size: {size:.20} is not between 1 and {size_max} (limits.admin_page_max)");
    Code::BadRequest.because(why)
}

fn token_of(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}

fn name_of(token: &str) -> Option<String> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::v1::RoomInfo;

    fn room(name: &str, metadata_bytes: usize) -> RoomInfo {
        RoomInfo { name: name.to_owned(), metadata: "x".repeat(metadata_bytes), ..RoomInfo::default() }
    }

    fn cut(page: &Page, rooms: Vec<RoomInfo>) -> (usize, String) {
        let (rooms, token) = page.cut(rooms, |room| &room.name);
        (rooms.len(), token)
    }

    #[test]
    fn a_size_is_taken_within_its_bounds_and_100_when_absent() {
        assert_eq!(Page::read(0, "", 1000).unwrap().size, 100);
        assert_eq!(Page::read(0, "", 10).unwrap().size, 10);
        assert_eq!(Page::read(1000, "", 1000).unwrap().size, 1000);
        let refusal = Page::read(1001, "", 1000).unwrap_err();
        assert_eq!(refusal.code, Code::BadRequest);
        assert!(refusal.message.contains("1001 is not between 1 and 1000"), "{refusal}");
    }

    #[test]
    fn a_token_leads_behind_the_last_name_and_any_other_text_is_refused() {
        let page = Page::read(1, "", 10).unwrap();
        let (rooms, token) = page.cut(vec![room("räume/1", 0), room("z", 0)], |room| &room.name);
        assert_eq!(rooms.len(), 1);
        assert_eq!(Page::read(1, &token, 10).unwrap().after, "räume/1");
        for bad in ["!", "a", "_w", &"A".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(Page::read(1, bad, 10).unwrap_err().code, Code::BadRequest, "{bad:.10}");
        }
    }

    #[test]
    fn the_last_page_has_no_token() {
        let page = Page::read(2, "", 10).unwrap();
        assert_eq!(cut(&page, Vec::new()), (0, String::new()));
        assert_eq!(cut(&page, vec![room("a", 0), room("b", 0)]), (2, String::new()));
    }

    #[test]
    fn a_page_ends_before_it_is_too_large_but_never_without_an_item() {
        let page = Page::read(10, "", 10).unwrap();
        let half = BYTES_MAX / 2;
        assert_eq!(cut(&page, vec![room("a", half), room("b", half), room("c", half)]), (1, token_of("a")));
        assert_eq!(cut(&page, vec![room("a", 3 * half), room("b", 1)]), (1, token_of("a")));
        assert_eq!(cut(&page, vec![room("a", half), room("b", half / 2)]), (2, String::new()));
    }
}
