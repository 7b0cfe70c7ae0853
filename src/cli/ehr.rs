//! `headwater ehr`: the simulated EHR alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::{Exit, Failure, asked_to_stop, show};
use crate::simulate::ehr::{EhrError, EhrSettings, Fault, FaultOrder, KickOffBy, Misconfiguration, Vendor, serve};

/// Serve a folder of FHIR NDJSON as an EHR does: SMART Backend Services and Bulk Data, on loopback.
#[derive(clap::Args, Debug)]
#[command(after_help = more_help())]
pub struct Args {
    /// A folder of `<Type>*.ndjson` or `<Type>*.ndjson.gz`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The port on 127.0.0.1; 0 takes any free one
    #[arg(long, value_name = "P", default_value_t = 0)]
    pub port: u16,
    /// Whose EHR: its temper, as listed below
    #[arg(long, value_name = "NAME", default_value = "generic")]
    pub vendor: Vendor,
    /// What goes wrong, and how often: NAME, NAME=N or NAME=always
    #[arg(long = "fault", value_name = "NAME[=N]", value_delimiter = ',')]
    pub faults: Vec<FaultOrder>,
    /// Let faults happen at occasions that this seed chooses, not at the first
    #[arg(long, value_name = "S")]
    pub fault_seed: Option<u64>,
    /// The version of Bulk Data that it speaks: 1 to 4
    #[arg(long = "manifest", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub manifest_version: u8,
    /// How a kick-off may be sent: either, get-only or post-only
    #[arg(long, value_name = "HOW", default_value = "either")]
    pub kick_off: KickOffBy,
    /// Put export files on another origin, where no token may go
    #[arg(long)]
    pub files_elsewhere: bool,
    /// Resources an export file holds at most
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub file_lines: u64,
    /// What is set up wrongly, for `headwater doctor` to find
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub misconfigured: Vec<Misconfiguration>,
    /// Seed of the next day's changes
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
}

/// The names that the options take, each with its sentence.
fn more_help() -> String {
    let list = |names: &mut dyn Iterator<Item = (&'static str, &'static str)>| {
        names.fold(String::new(), |list, (name, says)| format!("{list}  {name:<24} {says}\n"))
    };
    format!(
        "Vendors:\n{}\nFaults:\n{}\nMisconfigurations:\n{}\n\
         Example: headwater ehr --data patients/ --port 8088 --fault poll-503=2,truncate-file",
        list(&mut Vendor::ALL.into_iter().map(|vendor| (vendor.name(), vendor.says()))),
        list(&mut Fault::ALL.into_iter().map(|fault| (fault.name(), fault.says()))),
        list(&mut Misconfiguration::ALL.into_iter().map(|one| (one.name(), one.says()))),
    )
}

pub fn run(args: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::ours(&error))?;
    runtime.block_on(serve_until_interrupted(args))
}

async fn serve_until_interrupted(args: Args) -> Result<(), Failure> {
    let settings = EhrSettings {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)),
        vendor: args.vendor,
        seed: args.seed,
        faults: args.faults,
        fault_seed: args.fault_seed,
        manifest_version: args.manifest_version,
        kick_off: args.kick_off,
        files_elsewhere: args.files_elsewhere,
        file_lines: args.file_lines,
        misconfigured: args.misconfigured,
        // Ready at the second poll, and no second lost: who wants a slow EHR orders a fault.
        retry_after_s: 0,
        ..EhrSettings::new(args.data)
    };
    let ehr = serve(settings).await.map_err(|error| {
        let exit = if matches!(error, EhrError::Data(_) | EhrError::Listen { .. }) {
            Exit::Usage
        } else {
            Exit::Ours
        };
        Failure {
            exit,
            ..Failure::ours(&error)
        }
    })?;
    show::answer(ehr.base_url());
    show::note(&format!(
        "register a client:   POST {} with {{\"jwks\": {{\"keys\": [PUBLIC JWK]}}}} or {{\"jwks_uri\": URL}}; the answer holds the client_id\n\
         let a day pass:      POST {}\n\
         the group of all:    Group/all\n\
         stop with Ctrl-C",
        ehr.registration_url(),
        ehr.next_day_url()
    ));
    asked_to_stop().await?;
    for fault in Fault::ALL {
        if ehr.fired(fault) > 0 {
            show::note(&format!(
                "fault {} happened {}",
                fault.name(),
                show::count(ehr.fired(fault).into(), "time")
            ));
        }
    }
    for one in Misconfiguration::ALL {
        if ehr.fired_misconfiguration(one) > 0 {
            show::note(&format!(
                "misconfiguration {} showed {}",
                one.name(),
                show::count(ehr.fired_misconfiguration(one).into(), "time")
            ));
        }
    }
    ehr.shutdown().await;
    Ok(())
}
