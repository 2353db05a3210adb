//! What a Deployment says that the version before was: an annotation that people or pipelines write. Nobody has seen that
//! version serve, so nothing goes there by itself; a person may.

use serde::{Deserialize, Serialize};

use super::change::Revision;

/// The annotation, unless somebody decided otherwise.
pub const ANNOTATION: &str = "previous-version";

/// What stands in the annotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Which one.
    pub annotation: String,
    /// What comes of it.
    pub names: Names,
}

/// What an annotation names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// An image.
    Image(Box<NewImage>),
    /// Nothing that could be set, and why.
    Nothing(String),
}

/// One container's image, and what the template is with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewImage {
    /// The container's name.
    pub container: String,
    /// The whole reference: `registry.internal/shop/checkout:1.4.1`.
    pub image: String,
    /// The template that is set now with this image, by its hash.
    pub revision: Revision,
}
