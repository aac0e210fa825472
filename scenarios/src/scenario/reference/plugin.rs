//! `[[plugin]]`: what teams let run over their events.

use super::{
    Key, Occurs,
    Presence::{Default, Otherwise, Required, RequiredIf},
    Section, key,
    kind::{DURATION, Kind, SHARE},
};
use crate::scenario::{plugin, reader::words_of};

pub(super) const SECTIONS: [Section; 3] = [
    Section {
        path: "plugin",
        occurs: Occurs::Often,
        presence: Otherwise("teams have no plugins"),
        doc: "What a team lets run over its events, in the order of the file, before they are normalised.",
        example: "[[plugin]]\nname   = \"currency\"\nevents = [\"purchase\"]\nshare  = \"10%\"\naction = \"set\"\nkey    = \
                  \"currency\"\nvalue  = \"EUR\"\n",
        keys: &PLUGIN,
        more: None,
    },
    Section {
        path: "plugin.where",
        occurs: Occurs::Once,
        presence: Otherwise("whatever properties an event has"),
        doc: "The property that an event must have so that the plugin acts on it.",
        example: "[[plugin]]\nname   = \"internal-traffic\"\nwhere  = { property = \"is_trial\", equals = true }\naction = \"drop\"\n",
        keys: &[
            key("property", Kind::Text, RequiredIf("with `equals`"), "city", "The property's name."),
            key("equals", Kind::Plain, RequiredIf("with `property`"), "\"Oslo\"", "Its value."),
        ],
        more: None,
    },
    Section {
        path: "exports",
        occurs: Occurs::Once,
        presence: Otherwise("its defaults"),
        doc: "How the webhook behind plugins that export behaves, and how patient the exporter is with it ([plugins.md](plugins.md)).",
        example: "[[plugin]]\nname   = \"to-crm\"\nevents = \"purchase\"\naction = \"export\"\n\n[exports]\nfail     = \
                  \"5%\"\nback_off = \"100ms\"\n",
        keys: &[
            key(
                "fail",
                Kind::In(&SHARE),
                Default("0%"),
                "5%",
                "Which share of the exporter's requests the webhook answers with 503, at most 40%.",
            ),
            key(
                "back_off",
                Kind::In(&DURATION),
                Default("3s"),
                "100ms",
                "Before retry n, counted from 0, the exporter waits this times 2ⁿ⁺¹; after fifteen retries it gives up.",
            ),
        ],
        more: None,
    },
];

const PLUGIN: [Key; 9] = [
    key(
        "name",
        Kind::Text,
        Required,
        "currency",
        "Its name, which events carry in `$plugins_succeeded` or `$plugins_failed`.",
    ),
    key(
        "action",
        Kind::Choice(|| words_of(&plugin::WORDS)),
        Required,
        "drop",
        "What it does: `drop` the event, `set` a `key` to a `value`, `rename` a `key` `to` another, `throw` (perhaps having set a `key` \
         to a `value`), be `slow` by a `delay`, or `export` the event to a webhook of the test, once it is stored.",
    ),
    key(
        "teams",
        Kind::TextOrTexts,
        Otherwise("every team"),
        "\"shop\"",
        "The teams that have it, as `traffic.team` names them.",
    ),
    key(
        "events",
        Kind::TextOrTexts,
        Otherwise("all events"),
        "[\"purchase\", \"$pageview\"]",
        "The names of the events that it acts on.",
    ),
    key("share", Kind::In(&SHARE), Default("100%"), "10%", "On which share of those it acts, chosen by the uuid."),
    key(
        "key",
        Kind::Text,
        RequiredIf("with the actions `set` and `rename`"),
        "currency",
        "The property. One that says whose event it is or which, or that the pipeline writes itself, is refused.",
    ),
    key("value", Kind::Any, RequiredIf("with the action `set`"), "\"EUR\"", "What it is set to."),
    key("to", Kind::Text, RequiredIf("with the action `rename`"), "town", "The property's new name."),
    key(
        "delay",
        Kind::In(&DURATION),
        RequiredIf("with the action `slow`"),
        "300ms",
        "How long it takes; beyond `pipeline.plugin_time_out` the event goes on as if the plugin had thrown.",
    ),
];
