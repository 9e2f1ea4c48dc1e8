//! gorin
