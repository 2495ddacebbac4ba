//! What a request and an answer may have.

/// The largest input of a guest, in bytes. Extism's kernel holds it, and zeroes it behind the call at 2.5 fuel a byte, all of
/// which must be less than a call has.
pub const INPUT_MAX_BYTES: usize = 1 << 20;

/// How deep lists and objects may be in each other in an answer: what serde_json follows. The size of an answer is bounded by
/// what a call can allocate.
pub const ANSWER_DEPTH_MAX: usize = 127;

/// How many values an answer may have, those inside of others too. An object of five bytes takes 640 when it is read, and as
/// much again where it is a state: some 10 ms for all of them, which the clock of the call does not bound. Two thousand headers
/// or results are fewer.
pub const ANSWER_VALUES_MAX: usize = 1 << 13;
