#!/usr/bin/env bash
# A Slurm cluster on this one machine, for tests: controller, accounting with its database, several
# virtual nodes, two partitions of which one preempts the other. Everything lives in one folder and
# listens on loopback alone; `down` leaves nothing. It runs as root and trusts everybody who can
# read its folder, so it is nothing but a test bench.
set -euo pipefail

readonly PACKAGES=(slurm-wlm slurmdbd munge mariadb-server)
readonly PROGRAMS=(sbatch slurmctld slurmd slurmdbd munged mariadbd)
readonly DAEMONS=(munged mariadbd slurmdbd slurmctld) # and one slurmd a node
readonly NODES="${NAPTS_SLURM_NODES:-4}"
readonly NODE_CPUS=4
readonly NODE_MEMORY_MB=8000
readonly PATIENCE_S=60

usage() {
  cat >&2 <<'TEXT'
usage: slurm/local_cluster.sh install|up|down|status [--dir FOLDER]

  install  install Slurm, munge and MariaDB from the distribution's packages (root)
  up       start the cluster; prints the line that points Slurm's commands to it:
             eval "$(slurm/local_cluster.sh up)"
  down     end it and remove its folder
  status   say which daemons and nodes are up; exit code 0 if all are

FOLDER is where everything lives, by default $NAPTS_SLURM_DIR or a folder under /tmp.
TEXT
  exit 2
}

say() { echo "local_cluster: $*" >&2; }

# --- daemons: started in the background, known by the file that holds their process number --------

start() { # NAME COMMAND...
  local name="$1"
  shift
  # Without standard input and in a session of its own, so that no terminal reaches it.
  setsid "$@" </dev/null >>"$dir/log/$name.out" 2>&1 &
  echo "$! $(start_time $!)" >"$dir/run/$name"
}

start_time() { # PID -> when it started, which with its number tells a process from any other
  # The name in the second field may hold spaces, so count from its closing bracket. A zombie has
  # ended.
  sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

pid_of() { # NAME -> its process number if it still runs
  local pid born
  [[ -f "$dir/run/$1" ]] || return 1
  read -r pid born <"$dir/run/$1"
  [[ -n "$born" && "$(start_time "$pid")" == "$born" ]] || return 1
  echo "$pid"
}

wait_for() { # NAME WHAT COMMAND...: until the command succeeds, as long as the daemon lives
  local name="$1" what="$2" deadline=$((SECONDS + PATIENCE_S))
  shift 2
  until "$@" >"$dir/log/check.out" 2>&1; do
    if ! pid_of "$name" >/dev/null || ((SECONDS > deadline)); then
      give_up "$name" "$what"
    fi
    sleep 0.1
  done
}

give_up() { # NAME WHAT
  say "$1 failed ($2); the end of its log:"
  tail -n 15 "$dir/log/$1.out" "$dir/log/$1.log" "$dir/log/check.out" >&2 2>/dev/null || true
  down
  exit 1
}

stop() { # NAME; nothing that it holds outlives the folder, so there is no reason to wait for it
  local pid
  pid="$(pid_of "$1")" || return 0
  kill -KILL "$pid" 2>/dev/null || true
  while pid_of "$1" >/dev/null; do sleep 0.05; done
}

node_names() { seq -f 'n%g' 1 "$NODES"; }

# --- configuration --------------------------------------------------------------------------------

free_ports() { # COUNT
  python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PYTHON
}

configure() {
  local ports name index=3
  read -ra ports <<<"$(free_ports $((3 + NODES)))"
  database_port="${ports[2]}"
  password="$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
  head -c 1024 /dev/urandom >"$dir/munge.key"
  chmod 600 "$dir/munge.key"
  write_slurm_conf "${ports[0]}" "${ports[1]}"
  for name in $(node_names); do
    echo "NodeName=$name NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=${ports[index]}" \
      "CPUs=$NODE_CPUS RealMemory=$NODE_MEMORY_MB State=UNKNOWN" >>"$dir/slurm.conf"
    index=$((index + 1))
  done
  cat >>"$dir/slurm.conf" <<TEXT
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 OverSubscribe=NO MaxTime=INFINITE
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF OverSubscribe=NO MaxTime=INFINITE
TEXT
  write_slurmdbd_conf "${ports[1]}" "$database_port" "$password"
}

write_slurm_conf() { # CONTROLLER_PORT ACCOUNTING_PORT
  cat >"$dir/slurm.conf" <<TEXT
ClusterName=napts
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$1
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job starts again when its credential has expired, normally after two minutes.
AuthInfo=socket=$dir/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/%n.log
CommunicationParameters=NoAddrCache
MailProg=/bin/true
# No control groups and no binding to processors: this also works in a container.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MaxArraySize=101
KillWait=5
MinJobAge=300
SlurmdTimeout=10
ReturnToService=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$2
AccountingStoragePass=$dir/munge.socket
TEXT
}

write_slurmdbd_conf() { # PORT DATABASE_PORT PASSWORD
  (umask 077 && cat >"$dir/slurmdbd.conf") <<TEXT
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$1
SlurmUser=root
LogFile=$dir/log/slurmdbd.log
PidFile=$dir/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$2
StorageUser=slurm
StoragePass=$3
StorageLoc=slurm_accounting
TEXT
}

# --- commands -------------------------------------------------------------------------------------

install() {
  missing || return 0
  ((EUID == 0)) || { say "install: needs root"; exit 1; }
  apt-get update >&2
  # The distribution would start daemons of its own for the whole machine.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends \
    "${PACKAGES[@]}" >&2
}

missing() { # succeeds if a program is missing
  local program
  for program in "${PROGRAMS[@]}"; do
    command -v "$program" >/dev/null || return 0
  done
  return 1
}

up() {
  ((EUID == 0)) || { say "up: needs root"; exit 1; }
  if missing; then
    say "up: Slurm is not installed; run: slurm/local_cluster.sh install"
    exit 1
  fi
  if all_up; then
    say "already up in $dir"
  else
    down
    (umask 077 && mkdir -p "$dir"/{run,log,state,spool,database})
    configure
    start_daemons
    say "up in $dir after ${SECONDS} s: $NODES nodes with $NODE_CPUS processors each"
  fi
  echo "export SLURM_CONF=$dir/slurm.conf"
}

start_daemons() {
  local name
  start munged munged --foreground --force --key-file="$dir/munge.key" --num-threads=2 \
    --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" --seed-file="$dir/munge.seed" \
    --log-file="$dir/log/munged.log"
  start_database
  wait_for munged "socket" munge --socket="$dir/munge.socket" --no-input
  start slurmdbd slurmdbd -D
  wait_for slurmdbd "port" sacctmgr --noheader show cluster
  sacctmgr --immediate add cluster napts >>"$dir/log/sacctmgr.out" 2>&1 || true
  start slurmctld slurmctld -D -c -f "$dir/slurm.conf"
  wait_for slurmctld "scontrol ping" controller_answers
  for name in $(node_names); do
    mkdir -p "$dir/spool/$name"
    start "$name" slurmd -D -N "$name" -f "$dir/slurm.conf"
  done
  for name in $(node_names); do
    wait_for "$name" "node idle" node_is_idle "$name"
  done
  wait_for slurmdbd "sacct" sacct --allocations --noheader
}

start_database() {
  mariadb-install-db --no-defaults --user=root --datadir="$dir/database" --skip-test-db \
    --auth-root-authentication-method=normal >"$dir/log/install-db.out" 2>&1
  start mariadbd mariadbd --no-defaults --user=root --datadir="$dir/database" \
    --socket="$dir/database.socket" --pid-file="$dir/mariadbd.pid" --bind-address=127.0.0.1 \
    --port="$database_port" --innodb-buffer-pool-size=64M --innodb-log-file-size=16M \
    --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 --skip-log-bin
  wait_for mariadbd "socket" mariadb-admin --no-defaults --socket="$dir/database.socket" ping
  mariadb --no-defaults --socket="$dir/database.socket" >>"$dir/log/mariadbd.out" 2>&1 <<SQL
CREATE DATABASE slurm_accounting;
CREATE USER slurm@'127.0.0.1' IDENTIFIED BY '$password';
CREATE USER slurm@localhost IDENTIFIED BY '$password';
GRANT ALL ON slurm_accounting.* TO slurm@'127.0.0.1';
GRANT ALL ON slurm_accounting.* TO slurm@localhost;
DROP USER root@localhost;
SQL
}

controller_answers() { scontrol ping | grep -q "is UP"; }

node_is_idle() { sinfo --noheader --nodes="$1" --format=%T | grep -Eqx 'idle|mixed|allocated'; }

all_up() {
  local name
  for name in "${DAEMONS[@]}" $(node_names); do
    pid_of "$name" >/dev/null || return 1
  done
}

down() {
  local name
  [[ -d "$dir/run" ]] || return 0
  for name in slurmctld $(node_names) slurmdbd mariadbd munged; do stop "$name"; done
  stop_leftovers
  rm -rf "$dir"
}

stop_leftovers() { # job steps of this cluster, and what runs in them
  python3 - "$dir" <<'PYTHON'
import os, signal, sys
from pathlib import Path

folder = sys.argv[1]
for entry in Path("/proc").glob("[0-9]*"):
    try:
        command = (entry / "cmdline").read_bytes().decode(errors="replace")
        variables = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        continue  # gone, or not ours
    names = [variable.partition("=")[0] for variable in variables]
    # Slurm gives its jobs a number besides the configuration, which a person's shell has as well.
    in_job = f"SLURM_CONF={folder}/slurm.conf" in variables and "SLURM_JOB_ID" in names
    if in_job or ("slurmstepd" in command and f"SLURM_CONF={folder}/slurm.conf" in variables):
        try:
            os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            pass
PYTHON
}

status() {
  local name pid whole=0
  for name in "${DAEMONS[@]}" $(node_names); do
    if pid="$(pid_of "$name")"; then
      echo "$name: up, process $pid"
    else
      echo "$name: down"
      whole=1
    fi
  done
  if pid_of slurmctld >/dev/null; then sinfo || whole=1; fi
  return "$whole"
}

main() {
  local command="${1:-}"
  shift || usage
  dir="${NAPTS_SLURM_DIR:-/tmp/napts-slurm-$EUID}"
  while (($#)); do
    case "$1" in
      --dir) [[ -n "${2:-}" ]] || usage; dir="$2"; shift 2 ;;
      *) usage ;;
    esac
  done
  dir="$(realpath -m "$dir")"
  export SLURM_CONF="$dir/slurm.conf"
  case "$command" in
    install | up | down | status) "$command" ;;
    *) usage ;;
  esac
}

main "$@"
