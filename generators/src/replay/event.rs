//! One recorded event, as its client sent it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::event::Member;

/// What is kept of a recorded event.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its name.
    pub name: String,
    /// Whom it is for, as text.
    pub distinct_id: String,
    /// The same as JSON, where that is no string.
    pub distinct_id_json: Option<String>,
    /// Its properties, in the order of their keys.
    pub properties: Vec<Member>,
    /// The event's other fields.
    pub others: Vec<Member>,
}

impl Recorded {
    /// Reads the text of our form.
    ///
    /// # Errors
    /// When it is not what was written.
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
        let (mut name, mut id, mut properties, mut others) = (String::new(), "null", Vec::new(), Vec::new());
        for (key, value) in fields {
            match key.as_str() {
                "event" => name = serde_json::from_str(value.get())?,
                "distinct_id" => id = value.get(),
                "properties" => properties = members(&serde_json::from_str(value.get())?)?,
                _ => others.push(member(&key, value)?),
            }
        }
        let is_text = id.starts_with('"');
        Ok(Self {
            name,
            distinct_id: if is_text { serde_json::from_str(id)? } else { id.to_owned() },
            distinct_id_json: (!is_text).then(|| id.to_owned()),
            properties,
            others,
        })
    }

    /// The text of a property.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties.iter().find(|member| member.key == key).map(|member| member.value.as_str())
    }
}

fn members(object: &BTreeMap<String, &RawValue>) -> Result<Vec<Member>, serde_json::Error> {
    object.iter().map(|(key, value)| member(key, value)).collect()
}

fn member(key: &str, value: &RawValue) -> Result<Member, serde_json::Error> {
    let quoted = serde_json::to_string(key)?;
    Ok(Member { key: quoted[1..quoted.len() - 1].to_owned(), value: value.get().to_owned() })
}
