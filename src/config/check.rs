use crate::config::{Loaded, document::Shape, raw::Raw};
pub(super) fn check(_: &str, _: &str, _: Raw, shape: Shape) -> Loaded {
    Err(shape.problems)
}
