//! From what the runs left to the documents: `result.json`, the manifests, the summaries.

use std::collections::{BTreeMap, BTreeSet};

use belljar_model::{
    BudgetReport, Counts, Differences, EgressRecord, EndedBy, Entry, EntryKind, FarReport, Label,
    Manifest, OsText, Plan, Probe, ResultDoc, ResultWhen, RunReport, SelfTest, Tool, Verdict,
};

use super::error::EvidenceError;
use super::folder::Staging;
use super::report::markdown;
use super::verdict::{self, Judgement, NoRun, RunFacts};
use super::{far, json, network, security};

/// One run, as far as it came.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The report.
    pub report: &'a RunReport,
    /// Which budgets were asked and held.
    pub budgets: &'a [BudgetReport],
    /// What it tried to reach.
    pub egress: &'a [EgressRecord],
    /// The probes made before the command.
    pub selftest: &'a [Probe],
    /// The outputs, if they were read.
    pub manifest: Option<&'a Manifest>,
}

impl<'a> Told<'a> {
    /// What the verdict needs of it.
    pub fn facts(&self, plan: &Plan) -> RunFacts<'a> {
        let outputs = |m: &Manifest| m.entries.iter().filter(|e| is_output(plan, e)).count();
        RunFacts {
            report: Ok(self.report),
            holes: self.selftest.iter().filter(|p| !p.denied).count(),
            denied: self.egress.iter().filter(|r| network::denied(r)).count(),
            outputs: self.manifest.map(outputs),
        }
    }
}

/// The facts of a run that was not made.
pub fn no_facts(no_run: &NoRun) -> RunFacts<'_> {
    RunFacts {
        report: Err(no_run),
        holes: 0,
        denied: 0,
        outputs: None,
    }
}

/// Whether a path counts as an output: a folder alone is none.
fn is_output(plan: &Plan, entry: &Entry) -> bool {
    let counts = plan.outputs.strict || entry.scratch.is_none();
    counts && !matches!(entry.kind, EntryKind::Dir)
}

/// All that a command has to tell.
#[derive(Debug)]
pub struct Story<'a> {
    /// `run` or `verify`.
    pub command: &'static str,
    /// The request.
    pub plan: &'a Plan,
    /// One to three runs, or none where the command did not run.
    pub runs: Vec<Told<'a>>,
    /// What was compared.
    pub differences: Option<&'a Differences>,
    /// The verdict and its reasons.
    pub judgement: Judgement,
    /// What the far run found.
    pub far: Option<FarReport>,
    /// What those who found trouble say to do.
    pub hints: Vec<String>,
    /// Facts of the moment.
    pub when: ResultWhen,
}

impl Story<'_> {
    /// `result.json`, but for the digests of the other files, which the commit adds.
    pub fn document(&self) -> ResultDoc {
        let reports: Vec<&RunReport> = self.runs.iter().map(|run| run.report).collect();
        let records = self.records();
        ResultDoc {
            schema: ResultDoc::SCHEMA.into(),
            tool: Tool {
                name: "belljar".into(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            command: self.command.into(),
            verdict: self.judgement.verdict,
            incomplete: self.judgement.incomplete.clone(),
            ended_by: self.judgement.ended_by,
            exit_code: self.judgement.exit_code,
            plan: self.plan.clone(),
            plan_digest: self.plan.digest(),
            variations: verdict::variations(self.plan, &reports),
            runs: reports.into_iter().cloned().collect(),
            far: self.far.clone(),
            budgets: self.budgets(),
            counts: self.counts(),
            egress: security::by_class(&records),
            network: (!self.runs.is_empty())
                .then(|| network::report(self.plan, &records, self.paired())),
            hints: self.hints(),
            files: BTreeMap::new(),
            when: ResultWhen {
                network: network::bytes(&records),
                ..self.when.clone()
            },
        }
    }

    /// Writes every document but `result.json`.
    pub fn write(&self, doc: &ResultDoc, to: &mut Staging) -> Result<(), EvidenceError> {
        if self.command == "verify" {
            self.write_determinism(doc, to)?;
        }
        let Some(first) = self.runs.first() else {
            return Ok(());
        };
        let probes = self
            .runs
            .iter()
            .flat_map(|run| run.selftest.iter().cloned())
            .collect();
        let lost = self.runs.iter().map(|run| run.report.records_lost).sum();
        let selftest = SelfTest::of(probes);
        let records = self.records();
        let Some(network) = &doc.network else {
            return Ok(());
        };
        let files = security::render(&security::Scene {
            records: &records,
            network,
            selftest: &selftest,
            plan: self.plan,
            layers: &first.report.layers,
            lost,
            started: &self.when.started,
        });
        for (name, bytes) in files {
            to.write(&format!("security/{name}").into(), &bytes)?;
        }
        Ok(())
    }

    fn write_determinism(&self, doc: &ResultDoc, to: &mut Staging) -> Result<(), EvidenceError> {
        for run in &self.runs {
            if let Some(manifest) = run.manifest {
                let name = format!("determinism/manifest-{}.json", run.report.run.lower());
                to.write(&name.into(), &json(manifest))?;
            }
        }
        if let Some(differences) = self.differences {
            to.write(&"determinism/differences.json".into(), &json(differences))?;
        }
        let summary = markdown::render(doc, self.differences);
        to.write(&"determinism/summary.md".into(), summary.as_bytes())
    }

    /// Every run's, in the order of the runs.
    fn records(&self) -> Vec<&EgressRecord> {
        self.runs.iter().flat_map(|run| run.egress).collect()
    }

    /// Whether both runs of a pair were made.
    fn paired(&self) -> bool {
        let made = |label| self.runs.iter().any(|run| run.report.run == label);
        made(Label::A) && made(Label::B)
    }

    /// Each budget once: what held it in A, and whether it was hit in any run.
    fn budgets(&self) -> Vec<BudgetReport> {
        let mut all: Vec<BudgetReport> = Vec::new();
        for budget in self.runs.iter().flat_map(|run| run.budgets) {
            match all.iter_mut().find(|b| b.name == budget.name) {
                Some(known) => known.hit |= budget.hit,
                None => all.push(budget.clone()),
            }
        }
        all
    }

    fn counts(&self) -> Counts {
        let a = self.runs.iter().find(|run| run.report.run == Label::A);
        let entries = a
            .and_then(|run| run.manifest)
            .map_or(&[][..], |m| &m.entries);
        let items = self.differences.map_or(&[][..], |d| &d.items);
        // Several differences of one path are one differing output.
        let paths = |gating| {
            let of = items.iter().filter(|d| d.gating == gating).map(|d| &d.path);
            of.collect::<BTreeSet<&OsText>>().len() as u64
        };
        Counts {
            outputs: entries.iter().filter(|e| is_output(self.plan, e)).count() as u64,
            scratch: entries.iter().filter(|e| e.scratch.is_some()).count() as u64,
            differences: paths(true),
            scratch_differences: paths(false),
        }
    }

    /// What to do next: what those who found trouble say, then what follows from the whole.
    fn hints(&self) -> Vec<String> {
        let mut hints = self.hints.clone();
        hints.extend(self.egress_hint());
        let judged = &self.judgement;
        let no_outputs = judged
            .incomplete
            .iter()
            .any(|why| why == verdict::NO_OUTPUTS);
        if no_outputs {
            hints.push(
                "if nothing was rebuilt, clean first or use `--source git`; `--allow-empty` if there is nothing to build".into(),
            );
        }
        if judged.verdict == Some(Verdict::FailsUnderVariation) {
            hints.push("`logs/b.log` has the output of run B; the build reads the clock and does not bear the date".into());
        }
        hints.extend(self.far.as_ref().and_then(far::hint));
        let flag = match judged.ended_by {
            EndedBy::Timeout => Some("--timeout"),
            EndedBy::Oom => Some("--memory"),
            EndedBy::Pids => Some("--pids"),
            EndedBy::Disk => Some("--disk"),
            _ => None,
        };
        let full = judged.ended_by == EndedBy::Disk && self.plan.budgets.disk_bytes.is_none();
        hints.extend(match flag {
            _ if full => {
                Some("free some space there, or name another place with `--scratch`".into())
            }
            flag => flag.map(|flag| format!("`{flag}` sets that budget")),
        });
        hints
    }

    /// Where a run failed and something was refused: what it needs.
    fn egress_hint(&self) -> Option<String> {
        // Whatever the far run lacked, the pair did without.
        let failed = |run: &&Told<'_>| {
            run.report.run != Label::C
                && (run.report.ended_by != EndedBy::Command || run.report.status != Some(0))
        };
        let gated = self.judgement.ended_by == EndedBy::Policy;
        let refused = |run: &&Told<'_>| run.egress.iter().any(network::denied);
        let mut runs = self.runs.iter().filter(refused);
        let run = runs.find(|run| gated || failed(run))?;
        network::hint(run.egress)
    }
}

#[cfg(test)]
mod tests;
