//! What `--orders` says.

use std::path::PathBuf;
use std::str::FromStr;

use super::OrderError;

/// The most orders of one question.
pub const MOST_ORDERS: usize = 10_000_000;

/// What the numbers of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Whatever they can be.
    Either,
    /// Item numbers of the window (`items:FILE`).
    Items,
    /// Ids of the whole run (`ids:FILE`).
    Ids,
}

/// Which orders are meant: `N`, `reverse`, `sorted:KEY`, `sorted:KEY:desc` or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrdersSpec {
    /// This many random orders.
    Random(usize),
    /// The reference order backwards.
    Reverse,
    /// The items by a score.
    Sorted {
        /// Name of the score.
        key: String,
        /// Highest first.
        descending: bool,
    },
    /// The rows of a table; a file called `reverse` is `./reverse`.
    File(PathBuf, Numbers),
}

impl FromStr for OrdersSpec {
    type Err = OrderError;

    fn from_str(text: &str) -> Result<Self, OrderError> {
        let unknown = || OrderError::Spec { found: text.to_owned() };
        if let Some(key) = text.strip_prefix("sorted:") {
            let (key, descending) = match key.rsplit_once(':') {
                Some((key, "desc")) => (key, true),
                Some((key, "asc")) => (key, false),
                Some(_) => return Err(unknown()),
                None => (key, false),
            };
            if key.is_empty() {
                return Err(unknown());
            }
            return Ok(Self::Sorted { key: key.to_owned(), descending });
        }
        for (prefix, numbers) in [("items:", Numbers::Items), ("ids:", Numbers::Ids)] {
            if let Some(file) = text.strip_prefix(prefix) {
                let named = !file.is_empty();
                return named.then(|| Self::File(file.into(), numbers)).ok_or_else(unknown);
            }
        }
        match text {
            "" | "sorted" => Err(unknown()),
            "reverse" => Ok(Self::Reverse),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let known = text.parse().ok().filter(|count| (1..=MOST_ORDERS).contains(count));
                let refused = || OrderError::Count { found: text.to_owned(), most: MOST_ORDERS };
                known.map(Self::Random).ok_or_else(refused)
            }
            _ => Ok(Self::File(text.into(), Numbers::Either)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        let read = |text: &str| text.parse::<OrdersSpec>().unwrap();
        assert_eq!(read("64"), OrdersSpec::Random(64));
        assert_eq!(read("reverse"), OrdersSpec::Reverse);
        let sorted = |key: &str, descending| OrdersSpec::Sorted { key: key.into(), descending };
        assert_eq!(read("sorted:loss"), sorted("loss", false));
        assert_eq!(read("sorted:loss:desc"), sorted("loss", true));
        assert_eq!(read("sorted:loss:asc"), sorted("loss", false));
        let file = |path: &str, numbers| OrdersSpec::File(path.into(), numbers);
        assert_eq!(read("orders.npy"), file("orders.npy", Numbers::Either));
        assert_eq!(read("./64"), file("./64", Numbers::Either));
        assert_eq!(read("ids:best.npy"), file("best.npy", Numbers::Ids));
        assert_eq!(read("items:orders.txt"), file("orders.txt", Numbers::Items));
    }

    #[test]
    fn texts_that_name_no_orders_are_refused_with_the_text() {
        for text in ["", "sorted", "sorted:", "sorted:loss:down", "sorted::desc", "ids:", "items:"]
        {
            let found = text.to_owned();
            assert_eq!(text.parse::<OrdersSpec>(), Err(OrderError::Spec { found }));
        }
        for text in ["0", "10000001", "99999999999999999999999"] {
            assert!(matches!(text.parse::<OrdersSpec>(), Err(OrderError::Count { .. })), "{text}");
        }
    }
}
