//! The requests and responses of the wire functions, as types that can be generated.
//!
//! One file for each wire function holds the generated form of its request: a plain struct of
//! fields. Each field type lists realistic values and boundary values and generates arbitrary ones.
//! The struct converts into the wire types of every version of the function, which have the same
//! fields.
//!
//! [`Request`] is the enum of all of them. To fuzz a function of your own, give it a request type
//! that implements [`Generates`] and an enum made by [`vocabulary!`](crate::vocabulary), as
//! `examples/own_function.rs` does.
//!
//! Bugs in this module look like a request that no case can express, or a case that sends another
//! request than it states.

pub use body::Body;
pub use build_signer::BuildSigner;
pub use common::{
    CacheScore, Candidate, ClientRequest, ErrorCategory, Event, Header, Principal, Quota,
    RateLimit, ShapedRequest, Upstream, UpstreamError,
};
pub(crate) use domain::weighted;
pub use domain::{FieldDomain, ValueClass};
pub use fields::{Items, Part};
pub use filter::Filter;
pub use function::Function;
pub use function_names::UnknownFunction;
pub use generates::{Carrier, Generates, VERSION_KEY};
pub use header_value::HeaderValue;
pub use json::{Json, JsonObject};
pub(crate) use json::{in_full, in_short, nesting, values};
pub use list::List;
pub use normalize_error::NormalizeError;
pub use number::{Confidence, Count, Share, SmallCount, Status};
pub use observe::Observe;
pub use on_unauthorized::OnUnauthorized;
pub use request::Request;
pub use role::{FEW, FieldValue, ORDINARY_DEPTH, ORDINARY_INPUT_BYTES, Role};
pub(crate) use role::{Unusual, returns_state};
pub use shape::Shape;
pub use sign::Sign;
pub use text::*;
pub(crate) use text::{form as text_form, repeated_bytes};
pub use vocabulary::{Visitor, Vocabulary};

mod base64;
mod body;
mod build_signer;
mod common;
mod convert;
mod domain;
mod fields;
mod filter;
mod function;
mod function_names;
mod generates;
mod header_value;
mod json;
mod list;
mod normalize_error;
mod number;
mod observe;
mod on_unauthorized;
mod request;
mod responses;
mod role;
mod shape;
mod sign;
mod text;
mod vocabulary;
