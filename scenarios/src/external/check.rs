//! Whether a scenario can be run against somebody else's pipeline: what of it only the reference pipeline can do.

use testenv::{
    containers::substitute::Further,
    environment::pipeline::{MOST_INGESTERS, ingester_names},
    fault::Target,
};

use super::{External, FaultCommand, Projects, file::MISSPELT};
use crate::{
    failure::{Failure, Kind},
    scenario::{Scenario, Traffic, reader},
};

impl External {
    /// Makes sure that `scenario` asks for nothing that this pipeline cannot do.
    ///
    /// # Errors
    /// Everything that it cannot do.
    pub fn check(&self, scenario: &Scenario) -> Result<(), Failure> {
        let problems = self.problems(scenario);
        if problems.is_empty() {
            return Ok(());
        }
        Err(Failure::told(
            Kind::Usage,
            format!("the scenario {} cannot be run against this pipeline:\n{}", scenario.name, problems.join("\n")),
            "take it out of the scenario, or say it in the external file",
        ))
    }

    /// What somebody should know who runs `scenario` against this pipeline, a line each.
    pub fn notes(&self, scenario: &Scenario) -> Vec<String> {
        self.ignored(scenario).into_iter().chain(self.strangers(scenario)).collect()
    }

    /// The components that commands name and that `scenario` does not have, if there are any. Another scenario may have them; or
    /// the name is misspelt, and no fault will ever ask for it.
    fn strangers(&self, scenario: &Scenario) -> Option<String> {
        let further = || scenario.substitutes.further.iter().map(|further| further.name.as_str());
        let has =
            |name: &str| ingester_names(MOST_INGESTERS).any(|own| own == name) || further().any(|own| own == name);
        let mut known = reader::words_of(&Target::ALL);
        known.extend(further());
        let mut strangers: Vec<String> = Vec::new();
        for command in &self.fault_commands {
            let Target::Named(name) = command.target else { continue };
            let near = reader::nearest(name, known.iter().copied(), MISSPELT);
            let told = near.map_or_else(|| name.to_owned(), |near| format!("{name} (did you mean `{near}`?)"));
            if !has(name) && !strangers.contains(&told) {
                strangers.push(told);
            }
        }
        let named = strangers.join(", ");
        (!strangers.is_empty()).then(|| format!("fault_command: the scenario has no component that is called {named}"))
    }

    /// What of `scenario` this pipeline ignores, if there is something: settings that are hints for the reference pipeline, and
    /// without which the traffic and the promise are the same, and components that are there already.
    fn ignored(&self, scenario: &Scenario) -> Option<String> {
        let settings = &scenario.pipeline;
        let hints = [
            ("flush_interval", settings.said.has("flush_interval")),
            ("ingesters", settings.said.has("ingesters")),
            ("overflow", settings.overflow.is_some()),
        ];
        let hints = hints.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| format!("pipeline.{key}"));
        let further = scenario.substitutes.further.iter().filter(|further| self.has(further));
        let said: Vec<String> = hints.chain(further.map(|further| format!("component.{}", further.name))).collect();
        let what = said.join(", ");
        (!said.is_empty()).then(|| format!("{what}: ignored, since {} is set up already", self.capture.url))
    }

    /// Whether its operator has named such a component as one that faults reach.
    fn has(&self, further: &Further) -> bool {
        let target = Target::component(&further.name);
        !further.once && self.fault_commands.iter().any(|command| command.target == target)
    }

    fn fault_problems(&self, scenario: &Scenario) -> Vec<String> {
        let all: Vec<String> =
            self.fault_commands.iter().map(|command| format!("{} {}", command.action, command.target)).collect();
        let there = if all.is_empty() { String::new() } else { format!("; there are: {}", all.join(", ")) };
        let mut problems = Vec::new();
        for fault in &scenario.faults {
            for (action, target) in fault.draws() {
                let word = action.word();
                let is_for = |command: &FaultCommand| command.target == target && command.action == word;
                if !self.fault_commands.iter().any(is_for) {
                    problems.push(format!(
                        "fault: {word} {target} has no [[fault_command]] with that target and action{there}"
                    ));
                }
            }
        }
        problems
    }

    fn problems(&self, scenario: &Scenario) -> Vec<String> {
        let mut problems = self.fault_problems(scenario);
        if !scenario.planted_defects.is_empty() {
            problems.push("planted_defect: defects are planted in the reference pipeline only".into());
        }
        if scenario.capacity.is_some() {
            problems.push(
                "capacity: looking for it overloads a pipeline on purpose, which somebody else's is spared".into(),
            );
        }
        let substitutes = &scenario.substitutes;
        if substitutes.capture.is_some() || substitutes.ingester.is_some() {
            problems.push("pipeline: nothing takes the places of somebody else's components".into());
        }
        for further in substitutes.further.iter().filter(|further| !self.has(further)) {
            problems.push(format!(
                "component.{}: nothing is started beside somebody else's pipeline; one that is there already is named by a \
                 [[fault_command]]",
                further.name
            ));
        }
        if !scenario.plugins.is_empty() {
            problems.push("plugin: what somebody else's teams let run is not for a scenario to say".into());
        }
        if scenario.exports.is_some() {
            problems.push(
                "plugin: what is exported goes to a webhook of Assay's own, which somebody else's pipeline does not know".into(),
            );
        }
        let settings = &scenario.pipeline;
        for (key, is_set) in [
            ("processors", settings.processors.is_some()),
            ("memory", settings.memory.is_some()),
            ("substrate", settings.substrate.is_some()),
            ("rate_limit", settings.rate_limit.is_some()),
        ] {
            if is_set {
                problems.push(format!("pipeline.{key}: somebody else's components cannot be limited"));
            }
        }
        for (key, is_set, why) in [
            ("partitions", settings.said.has("partitions"), "somebody else's topics are as they are"),
            (
                "shards",
                settings.shards > 1,
                "somebody else's tables are as they are, and read as the external file says",
            ),
            ("topics", !scenario.substitutes.topics.is_empty(), "somebody else's topics are as they are"),
            (
                "plugin_time_out",
                settings.said.has("plugin_time_out"),
                "somebody else's plugins have a limit of their own",
            ),
            (
                "budget",
                settings.budget.is_some(),
                "what somebody else's components use can be neither limited nor seen",
            ),
        ] {
            if is_set {
                problems.push(format!("pipeline.{key}: {why}"));
            }
        }
        if settings.historical_from_days.is_some() {
            problems.push(
                "pipeline.historical_from_days: where somebody else's capture sends old events is not for a scenario to say"
                    .into(),
            );
        }
        if settings.imports_only {
            problems.push(
                "pipeline.capture_mode: what somebody else's capture is there for is not for a scenario to say".into(),
            );
        }
        for traffic in scenario.traffic.iter().filter(|traffic| !traffic.restricted.is_none()) {
            problems.push(format!(
                "traffic.{}: what somebody else's operator restricts is not for a scenario to say: leave out `restricted`",
                traffic.name
            ));
        }
        let projects = Projects::Named(self.projects.clone());
        for (number, traffic) in scenario.traffic.iter().enumerate() {
            let differs = |other: &&Traffic| {
                projects.of(scenario, other) == projects.of(scenario, traffic)
                    && other.drop_events_older_than != traffic.drop_events_older_than
            };
            if let Some(other) = scenario.traffic[..number].iter().find(differs) {
                problems.push(format!(
                    "traffic.{}: goes to the same [[project]] as {}, whose team has one `drop_events_older_than`",
                    traffic.name, other.name
                ));
            }
            if projects.of(scenario, traffic).is_none() {
                let why = if traffic.absent.is_some() { ", which drops it as it should," } else { "" };
                problems
                    .push(format!("traffic.{}: no [[project]]{why} is for it: add one with `traffic`", traffic.name));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{external::file::tests::whole, scenario::Override};

    fn problems(more: &str) -> Vec<String> {
        let source = format!("{}\n{more}", include_str!("../../library/smoke.toml"));
        whole().problems(&Scenario::read("smoke", &source, &[]).unwrap())
    }

    #[test]
    fn hints_for_the_reference_pipeline_are_ignored_and_told() {
        let ignored = |name: &str| whole().ignored(&crate::library::read(name, &[]).unwrap());
        let of = |keys: &str| Some(format!("{keys}: ignored, since {} is set up already", whole().capture.url));
        assert_eq!(ignored("smoke"), of("pipeline.flush_interval"));
        assert_eq!(ignored("hot-keys"), of("pipeline.flush_interval, pipeline.overflow"));
        assert_eq!(ignored("chaos-rebalance"), of("pipeline.ingesters"));
        assert_eq!(ignored("chaos-kill"), None);
    }

    #[test]
    fn components_are_there_already_where_a_command_breaks_them() {
        let mut external = whole();
        let command = external.fault_commands[0].clone();
        let redis = FaultCommand { target: Target::component("redis"), ..command.clone() };
        let second = FaultCommand { target: Target::component("ingester-2"), ..command };
        external.fault_commands.extend([redis, second]);
        let read = |more: &str, changes: &[Override]| {
            let source = format!("{}\n{more}", include_str!("../../library/smoke.toml"));
            Scenario::read("smoke", &source, changes).unwrap()
        };
        let kill = "[[fault]]\nat = \"1s\"\naction = \"kill\"\ntarget = ";
        let component = "[[component]]\nname = \"redis\"\nimage = \"redis:7\"\n";
        let scenario = read(&format!("{component}{kill}\"redis\""), &[]);
        assert_eq!(external.problems(&scenario), [""; 0]);
        assert!(external.ignored(&scenario).unwrap().starts_with("pipeline.flush_interval, component.redis: ignored"));
        let told = whole().problems(&scenario);
        assert!(told.len() == 2 && told[0].starts_with("fault: kill redis has no [[fault_command]]"), "{told:?}");
        assert!(told[1].starts_with("component.redis: nothing is started beside"), "{told:?}");
        let once = read(&format!("{component}once = true"), &[]);
        assert!(external.problems(&once)[0].starts_with("component.redis: "), "what has ended cannot be broken");

        let two = Override { key: "pipeline.ingesters".into(), value: "2".into() };
        let second = read(&format!("{kill}\"ingester-2\""), std::slice::from_ref(&two));
        assert_eq!(external.problems(&second), [""; 0]);
        assert_eq!(whole().problems(&second).len(), 1);
        let image = Override { key: "pipeline.ingester.image".into(), value: "posthog".into() };
        assert!(external.problems(&read("", &[image]))[0].starts_with("pipeline: nothing takes the places"));
    }

    #[test]
    fn components_that_only_the_external_file_names_are_told_and_so_is_what_they_may_be_meant_for() {
        let redis = "[[component]]\nname = \"redis\"\nimage = \"redis:7\"\n";
        let read = |more: &str| {
            let source = format!("{}\n{more}", include_str!("../../library/smoke.toml"));
            Scenario::read("smoke", &source, &[]).unwrap()
        };
        let notes = |names: &str, scenario: &Scenario| {
            let mut external = whole();
            let command = external.fault_commands[0].clone();
            let commands =
                names.split(' ').map(|name| FaultCommand { target: Target::component(name), ..command.clone() });
            external.fault_commands.extend(commands);
            external.notes(scenario).into_iter().filter(|line| line.starts_with("fault_command")).collect::<Vec<_>>()
        };
        let none = "fault_command: the scenario has no component that is called ";
        for (names, more, expected) in [
            ("redis", "", vec!["redis"]),
            ("ingester-2 kafka", "", vec![]),
            ("redis", redis, vec![]),
            ("injester", "", vec!["injester (did you mean `ingester`?)"]),
            ("capture-kafak redis redis", "", vec!["capture-kafak (did you mean `capture-kafka`?), redis"]),
            ("reddis", redis, vec!["reddis (did you mean `redis`?)"]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(|told| format!("{none}{told}")).collect();
            assert_eq!(notes(names, &read(more)), expected, "{names}");
        }
        // Beside what is ignored, and in one list.
        assert_eq!(whole().notes(&read("")).len(), 1);
    }

    #[test]
    fn what_only_the_reference_pipeline_can_do_is_refused() {
        assert_eq!(problems(""), [""; 0]);
        let kill = "[[fault]]\nat = \"1s\"\naction = \"kill\"\n";
        assert_eq!(problems(&format!("{kill}target = \"ingester\"")), [""; 0], "there is a command for it");
        let told = problems(&format!("{kill}target = [\"ingester\", \"capture\"]"));
        let none = "fault: kill capture has no [[fault_command]] with that target and action; there are: kill ingester";
        assert_eq!(told, [none]);
        assert!(problems("[[planted_defect]]\nname = \"drop_late\"\nevents = 1")[0].starts_with("planted_defect"));
        let export = problems("[[plugin]]\nname = \"crm\"\naction = \"export\"");
        assert!(export.len() == 2 && export[1].contains("webhook of Assay's own"), "{export:?}");
        for (key, value, named) in [
            ("partitions", "4", "partitions"),
            ("shards", "2", "shards"),
            ("topics", "[\"more\"]", "topics"),
            ("plugin_time_out", "30s", "plugin_time_out"),
            ("budget.memory", "1GiB", "budget"),
            ("substrate.memory", "1GiB", "substrate"),
        ] {
            let set = Override { key: format!("pipeline.{key}"), value: value.into() };
            let told = whole().problems(&crate::library::read("smoke", &[set]).unwrap());
            assert!(told.len() == 1 && told[0].starts_with(&format!("pipeline.{named}: ")), "{told:?}");
        }
        let quota = "[[traffic]]\nname = \"quota\"\nevents = 10\narrival = { shape = \"constant\", rate = \"1/s\" }\nover_quota = true";
        assert!(problems(quota)[0].starts_with("traffic.quota: no [[project]]"), "{:?}", problems(quota));
        let old = quota.replace("over_quota = true", "team = \"tidy\"\ndrop_events_older_than = \"1h\"");
        let told = problems(&old);
        assert!(
            told.len() == 1 && told[0].starts_with("traffic.quota: goes to the same [[project]] as app"),
            "{told:?}"
        );
    }
}
