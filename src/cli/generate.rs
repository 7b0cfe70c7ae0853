//! `headwater generate`: synthetic patients as NDJSON.

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, Failure, show};
use crate::simulate::{GeneratorSettings, generate_watched};

/// Write synthetic FHIR R4 patients of a pediatric IBD clinic as NDJSON, one file per resource type.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The same seed gives the same bytes; patient n is the same for any number of patients.\n\n\
                  Example: headwater generate --patients 100 --seed 1 --out patients/"
)]
pub struct Args {
    /// How many patients; any number, in constant memory
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub patients: u64,
    /// Seed of everything random
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// The folder to write into; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write into a folder that is not empty; files of the same name are replaced
    #[arg(long)]
    pub force: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let out = args.out.as_path();
    std::fs::create_dir_all(out).map_err(|error| Failure::new(Exit::Usage, format!("could not create `{}`: {error}", out.display())))?;
    let mut entries =
        std::fs::read_dir(out).map_err(|error| Failure::new(Exit::Usage, format!("could not read `{}`: {error}", out.display())))?;
    if entries.next().is_some() && !args.force {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "`{}` is not empty: name another folder, or say --force to write into it",
                out.display()
            ),
        ));
    }
    let bar = ProgressBar::new(args.patients);
    if let Ok(style) = ProgressStyle::with_template("generating {bar:32} {human_pos}/{human_len} patients, {eta} left") {
        bar.set_style(style);
    }
    let generated = generate_watched(&GeneratorSettings::new(args.patients, args.seed), out, &|done| {
        bar.set_position(done)
    })
    .map_err(|error| Failure::ours(&error))?;
    bar.finish_and_clear();
    let resources: u64 = generated.counts.values().sum();
    show::note(&format!(
        "generated {}, {} of {} in {}",
        show::count(args.patients, "patient"),
        show::count(resources, "resource"),
        show::count(generated.counts.len() as u64, "type"),
        out.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_folder_that_is_not_empty_unless_forced() {
        let out = tempfile::tempdir().unwrap();
        let args = |force| Args {
            patients: 1,
            seed: 1,
            out: out.path().to_owned(),
            force,
        };
        run(args(false)).unwrap();
        let refused = run(args(false)).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.message.contains("--force"));
        run(args(true)).unwrap();
    }
}
