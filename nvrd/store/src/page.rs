//! One page of a list, and which one is asked for.

use nvr_base::{Error, Result};

/// The most items that one page or list may hold.
pub const MAX_LIMIT: u32 = 500;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Counted from 1.
    pub page: u32,
    /// Items on a page, 1 to [`MAX_LIMIT`].
    pub limit: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { page: 1, limit: 50 }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items of this page, in the order of the list.
    pub items: Vec<T>,
    /// Items on all pages together, counted at the same moment.
    pub total: u64,
}

impl PageRequest {
    /// Limit and offset for the query, or what is wrong with the request.
    pub(crate) fn window(self) -> Result<(i64, i64)> {
        if self.page == 0 {
            return Err(Error::invalid("page 0 does not exist: pages count from 1"));
        }
        let limit = checked_limit(self.limit)?;
        Ok((limit, i64::from(self.page - 1) * limit))
    }
}

/// The limit as the query wants it, or what is wrong with it.
pub(crate) fn checked_limit(limit: u32) -> Result<i64> {
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(i64::from(limit))
    } else {
        Err(Error::invalid(format!(
            "limit {limit} is out of range: use 1 to {MAX_LIMIT}"
        )))
    }
}
