//! The healthy answer of each function with exactly one change: every kind of change at every place
//! once, in a fixed order.
//!
//! Bugs in this module look like a mistake of a decoder that no answer shows, or an answer that is
//! there twice.

use std::collections::HashSet;

use super::answers;
use super::malformed_json::{Json, OTHER_KEYS, OTHER_TEXTS, unquoted};
use super::programs::step_with_program;
use crate::case::Case;
use crate::puppet::{Bytes, Op};
use crate::wire::Vocabulary;

/// The fields of an object, with raw text for keys.
type Fields = Vec<(String, Json)>;

/// A kind of change, and what it changes.
#[derive(Clone, Copy)]
enum Change {
    /// Each field of each object.
    Field(fn(&mut Fields, usize)),
    /// The key of each field, without its quotes.
    Key(fn(&str) -> String),
    /// Each object.
    Object(fn(&mut Fields)),
    /// Each item of each list.
    Item(fn(&mut Vec<Json>, usize)),
    /// Each value for which the function returns another.
    Value(fn(&Json) -> Option<Json>),
    /// Each value: this text takes its place.
    Literal(&'static str),
    /// The text in each string, without its quotes.
    Text(fn(&str) -> String),
    /// Each integer.
    Number(fn(u128) -> String),
    /// The whole answer.
    Whole(fn(&str) -> Vec<u8>),
}

use Change::{Field, Item, Key, Literal, Number, Object, Text, Value, Whole};

/// The most values of an answer times its bytes. A larger answer is not changed.
const SIZE_MAX: usize = 1 << 20;

/// The changes of the structure, and other values in the place of each.
const OF_VALUES: [Change; 44] = [
    Field(|fields, at| drop(fields.remove(at))),
    Literal("null"),
    Value(by_position),
    Value(|value| Some(Json::List(vec![value.clone()]))),
    Value(first_part),
    Object(|fields| fields.push(extra("null"))),
    Object(|fields| fields.insert(0, extra("\"x\""))),
    Object(|fields| fields.push(extra("1"))),
    Item(|items, at| items.insert(at, Json::Text("null".to_owned()))),
    Item(|items, at| items.insert(at + 1, Json::Text("null".to_owned()))),
    Item(|items, at| items.insert(at, items[at].clone())),
    Item(|items, at| drop(items.remove(at))),
    Field(|fields, at| fields.push(fields[at].clone())),
    Field(|fields, at| {
        let other = (fields[at].0.clone(), other(&fields[at].1));
        fields.insert(at, other);
    }),
    Field(|fields, at| {
        let other = (fields[at].0.clone(), other(&fields[at].1));
        fields.push(other);
    }),
    Field(|fields, at| {
        let null = (fields[at].0.clone(), Json::Text("null".to_owned()));
        fields.insert(at, null);
    }),
    Key(OTHER_KEYS[0]),
    Key(OTHER_KEYS[1]),
    Key(OTHER_KEYS[2]),
    Key(OTHER_KEYS[3]),
    Key(OTHER_KEYS[4]),
    Literal("{}"),
    Literal("[]"),
    Literal("\"\""),
    Literal("\"x\""),
    Literal("0"),
    Literal("1"),
    Literal("-1"),
    Literal("1.5"),
    Literal("true"),
    Literal("false"),
    Literal("[null]"),
    // The same JSON inside a string.
    Value(|value| Some(Json::Text(Json::key(&value.write())))),
    Value(|value| Some(Json::Object(vec![(Json::key("a"), value.clone())]))),
    Value(by_number),
    Value(|value| before_the_end(value, ",")),
    Value(|value| before_the_end(value, "/**/")),
    Value(|value| before_the_end(value, " \n\t")),
    // The first field is the version.
    Object(|fields| fields.rotate_left(1)),
    // All fields but the first inside another object.
    Object(|fields| {
        let inner = fields.split_off(1);
        fields.push((Json::key("data"), Json::Object(inner)));
    }),
    Literal("NaN"),
    Literal("'x'"),
    Literal("18446744073709551616"),
    Literal("1e400"),
];

/// The changes of strings and numbers.
const OF_LEAVES: [Change; 23] = [
    Text(OTHER_TEXTS[0]),
    Text(OTHER_TEXTS[1]),
    Text(OTHER_TEXTS[2]),
    Text(OTHER_TEXTS[3]),
    Text(OTHER_TEXTS[4]),
    Text(OTHER_TEXTS[5]),
    Text(OTHER_TEXTS[6]),
    Text(OTHER_TEXTS[7]),
    // Four bytes as such, and two escapes for them, one of which is missing.
    Text(|text| format!("{text}\u{1f980}")),
    Text(|text| format!("{text}\\ud83e\\udd80")),
    Text(|text| format!("{text}\\ud83e")),
    Text(|text| format!("{text}\n")),
    Text(|text| format!("{text}\\x")),
    Number(|number| format!("\"{number}\"")),
    Number(|number| format!("{number}.0")),
    Number(|number| format!("{number}e0")),
    Number(|number| format!("0{number}")),
    Number(|number| format!("+{number}")),
    Number(|number| format!("-{number}")),
    Number(|number| (number + 1).to_string()),
    // The same number if its higher bits are lost.
    Number(|number| (number + (1 << 8)).to_string()),
    Number(|number| (number + (1 << 32)).to_string()),
    Number(|number| (number + (1 << 64)).to_string()),
];

/// The changes of the whole text.
const OF_ANSWERS: [Change; 20] = [
    Whole(|text| format!(" \n\t{text}\r\n ").into()),
    Whole(|text| format!("\u{feff}{text}").into()),
    Whole(|text| format!("\u{a0}{text}").into()),
    Whole(|text| format!("{text}\u{b}").into()),
    Whole(|text| format!("//\n{text}").into()),
    Whole(|text| format!("{text}//").into()),
    Whole(|text| format!("{text}x").into()),
    Whole(|text| format!("{text}\0").into()),
    Whole(|text| format!("{text}}}").into()),
    Whole(|text| format!("{text},").into()),
    Whole(|text| format!("x{text}").into()),
    Whole(|text| format!("{text}{text}").into()),
    Whole(|text| format!("{text}\nnull").into()),
    Whole(|text| format!("[{text}]").into()),
    // An object is the only value whose end may be missing.
    Whole(|text| text.strip_suffix('}').unwrap_or(text).into()),
    Whole(|text| text.strip_prefix('{').unwrap_or(text).into()),
    Whole(|text| text.replace('"', "'").into()),
    Whole(|_| Vec::new()),
    Whole(|_| b"\"\"".to_vec()),
    Whole(invalid_utf8),
];

/// Returns a field that no response has.
fn extra(value: &str) -> (String, Json) {
    (Json::key("extra"), Json::Text(value.to_owned()))
}

/// Returns another value of the same kind.
fn other(value: &Json) -> Json {
    match value {
        Json::Object(_) => Json::Object(Vec::new()),
        Json::List(_) => Json::List(Vec::new()),
        Json::Text(text) if text.starts_with('"') => Json::Text("\"x\"".to_owned()),
        Json::Text(_) => Json::Text("2".to_owned()),
    }
}

/// Returns the values of an object as a list. Some decoders read fields by position.
fn by_position(value: &Json) -> Option<Json> {
    let Json::Object(fields) = value else {
        return None;
    };
    let values = fields.iter().map(|(_, value)| value.clone());
    Some(Json::List(values.collect()))
}

/// Returns the items of a list as an object, with their numbers as keys.
fn by_number(value: &Json) -> Option<Json> {
    let Json::List(items) = value else {
        return None;
    };
    let fields = items.iter().enumerate();
    let fields = fields.map(|(number, item)| (Json::key(&number.to_string()), item.clone()));
    Some(Json::Object(fields.collect()))
}

/// Returns the first item of a list, or the value of the first field of an object.
fn first_part(value: &Json) -> Option<Json> {
    match value {
        Json::Object(fields) => fields.first().map(|(_, value)| value.clone()),
        Json::List(items) => items.first().cloned(),
        Json::Text(_) => None,
    }
}

/// Returns a list or an object with a text before its closing bracket.
fn before_the_end(value: &Json, more: &str) -> Option<Json> {
    if matches!(value, Json::Text(_)) {
        return None;
    }
    let mut text = value.write();
    let end = text.pop()?;
    Some(Json::Text(format!("{text}{more}{end}")))
}

/// Puts a byte that is not UTF-8 into the last string.
fn invalid_utf8(text: &str) -> Vec<u8> {
    let at = text.rfind('"').unwrap_or(text.len());
    let (before, behind) = text.as_bytes().split_at(at);
    [before, b"\xff", behind].concat()
}

impl Change {
    /// Returns the value with the change at one of its parts, by index. A kind of change without
    /// parts has only part 0.
    fn of(self, value: &Json, part: usize) -> Option<Json> {
        match (self, value) {
            (Field(change), Json::Object(fields)) if part < fields.len() => {
                let mut fields = fields.clone();
                change(&mut fields, part);
                Some(Json::Object(fields))
            }
            (Key(change), Json::Object(fields)) => {
                let mut fields = fields.clone();
                let (key, _) = fields.get_mut(part)?;
                *key = format!("\"{}\"", change(unquoted(key)?));
                Some(Json::Object(fields))
            }
            (Item(change), Json::List(items)) if part < items.len() => {
                let mut items = items.clone();
                change(&mut items, part);
                Some(Json::List(items))
            }
            _ if part > 0 => None,
            (Object(change), Json::Object(fields)) if !fields.is_empty() => {
                let mut fields = fields.clone();
                change(&mut fields);
                Some(Json::Object(fields))
            }
            (Value(change), value) => change(value),
            (Literal(text), _) => Some(Json::Text(text.to_owned())),
            (Text(change), Json::Text(text)) => {
                let changed = change(unquoted(text)?);
                Some(Json::Text(format!("\"{changed}\"")))
            }
            (Number(change), Json::Text(text)) => {
                let number: u64 = text.parse().ok()?;
                Some(Json::Text(change(number.into())))
            }
            _ => None,
        }
    }
}

/// A healthy answer, and what it was changed to.
struct Answer {
    /// The functions that have it: the implementations of one wire function, by their indices.
    functions: Vec<usize>,
    name: &'static str,
    answer: Json,
    /// The values in it, as [`Json::nth`] counts them.
    values: Vec<Json>,
    /// The answer itself, and all changed ones so far.
    seen: HashSet<Vec<u8>>,
}

impl Answer {
    /// Returns the answers of these functions.
    fn all<R: Vocabulary>(functions: &[usize]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for index in functions {
            let function = &R::functions()[*index];
            let answer = answers::filled(function);
            // The changed answers take a hundred times this.
            if answer.size() * answer.write().len() > SIZE_MAX {
                continue;
            }
            let same = all
                .iter_mut()
                .find(|other| other.name == function.name && other.answer == answer);
            if let Some(same) = same {
                same.functions.push(*index);
                continue;
            }
            let values = (0..answer.size()).filter_map(|mut place| {
                let mut answer = answer.clone();
                answer.nth(&mut place).cloned()
            });
            all.push(Self {
                functions: vec![*index],
                name: function.name,
                values: values.collect(),
                seen: HashSet::from([answer.write().into_bytes()]),
                answer,
            });
        }
        all
    }

    /// Returns the answer with the change at every place.
    fn changed(&self, change: Change) -> Vec<Vec<u8>> {
        if let Whole(change) = change {
            return vec![change(&self.answer.write())];
        }
        let mut all = Vec::new();
        for (place, value) in self.values.iter().enumerate() {
            let changed = (0..).map_while(|part| change.of(value, part));
            all.extend(changed.filter_map(|changed| self.with(place, changed)));
        }
        all
    }

    /// Returns the answer with another value at a place.
    fn with(&self, mut place: usize, value: Json) -> Option<Vec<u8>> {
        let mut answer = self.answer.clone();
        *answer.nth(&mut place)? = value;
        Some(answer.write().into_bytes())
    }
}

/// The changed answers of some functions.
#[derive(Clone, Debug, Default)]
pub(super) struct ChangedAnswers {
    /// Each with the index of its function. Kinds of changes follow each other, and within a kind
    /// the functions take turns.
    answers: Vec<(usize, Vec<u8>)>,
}

impl ChangedAnswers {
    /// Returns those of these functions, which are indices of [`Vocabulary::functions`].
    /// Implementations of one wire function with the same answer share its changes.
    pub(super) fn new<R: Vocabulary>(functions: &[usize]) -> Self {
        let mut all = Answer::all::<R>(functions);
        let mut answers = Vec::new();
        let changes = OF_VALUES.into_iter().chain(OF_LEAVES).chain(OF_ANSWERS);
        for change in changes {
            let texts: Vec<_> = all.iter().map(|of| of.changed(change)).collect();
            let most = texts.iter().map(Vec::len).max().unwrap_or_default();
            for turn in 0..most {
                for (of, texts) in all.iter_mut().zip(&texts) {
                    let Some(text) = texts.get(turn) else {
                        continue;
                    };
                    if of.seen.insert(text.clone()) {
                        answers.push((of.functions[0], text.clone()));
                        of.functions.rotate_left(1);
                    }
                }
            }
        }
        Self { answers }
    }

    /// Returns the number of cases.
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// Returns the case of an index: one call that answers so.
    pub(super) fn nth<R: Vocabulary>(&self, index: usize) -> Option<Case<R>> {
        let (function, text) = self.answers.get(index)?;
        let ops = [Op::LogCall, Op::Emit(Bytes(text.clone()))];
        Some(Case {
            steps: vec![step_with_program(R::dry_run(*function), ops)],
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::wire::Request;

    fn all() -> ChangedAnswers {
        let functions: Vec<_> = (0..Request::functions().len()).collect();
        ChangedAnswers::new::<Request>(&functions)
    }

    /// Returns the changed answers of the functions with this name, as text.
    fn texts(name: &str) -> Vec<String> {
        let answers = all().answers.into_iter();
        let of_name = answers.filter(|(index, _)| Request::functions()[*index].name == name);
        let texts = of_name.map(|(_, text)| String::from_utf8_lossy(&text).into_owned());
        texts.collect()
    }

    #[test]
    fn there_are_many_and_no_function_has_one_twice() {
        let ChangedAnswers { answers } = all();
        assert!((600..=2_500).contains(&answers.len()), "{}", answers.len());
        let name = |index: usize| Request::functions()[index].name;
        let different: BTreeSet<_> = answers
            .iter()
            .map(|(index, text)| (name(*index), text))
            .collect();
        assert_eq!(different.len(), answers.len());
        let functions: BTreeSet<_> = answers.iter().map(|(index, _)| *index).collect();
        assert_eq!(functions.len(), Request::functions().len());
    }

    #[test]
    fn they_begin_with_one_of_each_function() {
        let names = Request::functions().iter().map(|function| function.name);
        let names: BTreeSet<_> = names.collect();
        let first = all().answers.into_iter().take(names.len());
        let first: BTreeSet<_> = first
            .map(|(index, _)| Request::functions()[index].name)
            .collect();
        assert_eq!(first, names);
    }

    #[test]
    fn what_decoders_get_wrong_is_among_them() {
        const RESULT: &str = r#"{"decision":"accept","reason":"a/b","upstream_id":"a"}"#;
        let filter = texts("filter");
        for answer in [
            r#"{"_v":1,"results":[{"decision":"accept","upstream_id":"a"}]}"#.to_owned(),
            format!(r#"{{"_v":1,"results":[null,{RESULT}]}}"#),
            format!(r#"{{"_v":1,"results":[{RESULT},null]}}"#),
            format!(r#"{{"_v":257,"results":[{RESULT}]}}"#),
            format!(r#"{{"results":[{RESULT}]}}"#),
            format!(r#"{{"_v":1,"results":[{RESULT}],"extra":null}}"#),
            format!(r#"[{{"_v":1,"results":[{RESULT}]}}]"#),
        ] {
            assert!(filter.contains(&answer), "{answer}");
        }
        for name in ["shape", "sign"] {
            let texts = texts(name);
            for header in [
                r#"["x-a","Pz8/Pj4+eA=="]"#,
                r#"{"name":"x-a","value_base64":null}"#,
                r#"{"name":null,"value_base64":"Pz8/Pj4+eA=="}"#,
                r#"{"NAME":"x-a","value_base64":"Pz8/Pj4+eA=="}"#,
            ] {
                let headers = format!(r#""headers":[{header}]"#);
                let has = texts.iter().any(|text| text.contains(&headers));
                assert!(has, "{name}: {header}");
            }
        }
    }
}
