//! What a user's tree may turn on for all that is in it: objects of JSON that keep the order in which they were made.
//!
//! ```sh
//! cargo test --package cc-lb-fuzz --package preserve_order \
//!     --test it -- cases:: --skip handshake_cases::
//! ```
//!
//! runs the tests of cases so. The cases of a seed, and what shrinking tries, must be the same as without.
