//! The limits of a message: of the input of a guest and of its answer.

/// The largest input of a guest, in bytes. Extism's kernel stores the input and zeroes it after the
/// call at 2.5 fuel a byte, which must be less than the fuel of a call.
pub const INPUT_MAX_BYTES: usize = 1 << 20;

/// The deepest nesting of lists and objects in an answer, which is what `serde_json` parses. The
/// size of an answer is bounded by what a call can allocate.
pub const ANSWER_DEPTH_MAX: usize = 127;

/// The most values in an answer, nested ones included. An object of five bytes takes 640 bytes when
/// it is parsed, and as much again if it is a state: about 10 ms for all of them, which the
/// wall-clock limit of the call does not cover. An answer with two thousand headers or results has
/// fewer values.
pub const ANSWER_VALUES_MAX: usize = 1 << 13;
