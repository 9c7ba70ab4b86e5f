#!/usr/bin/env bash
# A Slurm cluster on this one machine, for tests: controller, accounting with its database, several
# virtual nodes, two partitions of which one preempts the other. Everything lives in one folder, which
# its owner alone can enter, and listens on loopback alone; `down` leaves nothing. It runs as root,
# and what it starts lets whoever speaks for its owner run anything, so it is nothing but a test bench.
set -euo pipefail
# Of a job in which this script may run: its own daemons and jobs are known by such variables.
for variable in "${!SLURM_@}"; do unset "$variable"; done

readonly PACKAGES=(slurm-wlm slurmdbd munge mariadb-server iproute2)
readonly PROGRAMS=(sbatch slurmctld slurmd slurmdbd munged mariadbd ss)
readonly DAEMONS=(munged mariadbd slurmdbd slurmctld) # and one slurmd a node
readonly NODES="${NAPTS_SLURM_NODES:-4}"
readonly NODE_CPUS=4
readonly NODE_MEMORY_MB=8000
readonly PATIENCE_S=60
readonly CLUSTER_NAME=napts
# Nobody but root can put anything there. Not below /run: on many systems nothing can be executed
# there, and Slurm executes jobs from its spool folder.
readonly DEFAULT_DIR=/var/lib/napts-slurm
readonly LONGEST_DIR=85 # a socket's path has 107 bytes at most

usage() {
  cat >&2 <<'TEXT'
usage: slurm/local_cluster.sh install|up|down|status [--dir FOLDER]

  install  install Slurm, munge and MariaDB from the distribution's packages (root)
  up       start the cluster; prints the line that points Slurm's commands to it:
             eval "$(slurm/local_cluster.sh up)"
  down     end it and remove its folder
  status   say which daemons and nodes are up; exit code 0 if all are

FOLDER is where everything lives, by default $NAPTS_SLURM_DIR or /var/lib/napts-slurm. It has to be
new, or one that `up` has made. Exit code 2: it is another, and nothing has been touched.
TEXT
  exit 2
}

say() { echo "local_cluster: $*" >&2; }

refuse() { # MESSAGE: bad input; nothing has been touched
  say "$1"
  exit 2
}

# --- the folder: nothing in it is believed, written or deleted before it has been inspected -------

find_folder() { # FOLDER -> sets $dir to its path without links, but for its own name
  local LC_ALL=C shown name parent
  shown="$(printf '%.60q' "$1")"
  # It stands in configuration files and in a line for a shell.
  [[ "$1" =~ ^[A-Za-z0-9._/+-]+$ ]] || refuse "--dir: found $shown, allowed: A-Z a-z 0-9 . _ / + -"
  name="$(basename -- "$1")"
  [[ "$name" != / && "$name" != . && "$name" != .. ]] \
    || refuse "--dir: found $shown, allowed: a path that ends in a name"
  parent="$(realpath -m -- "$(dirname -- "$1")")"
  dir="${parent%/}/$name"
  ((${#dir} <= LONGEST_DIR)) \
    || refuse "--dir: found $shown of ${#dir} characters, allowed: at most $LONGEST_DIR"
  export SLURM_CONF="$dir/slurm.conf"
}

inspect() { # succeeds if the folder is there, fails if nothing is; ends the script if it is foreign
  local mode owner
  inspect_parents
  [[ -e "$dir" || -L "$dir" ]] || return 1
  [[ ! -L "$dir" ]] || refuse_folder "a symbolic link"
  [[ -d "$dir" ]] || refuse_folder "a file"
  read -r mode owner < <(stat -c '%a %u' -- "$dir")
  ((owner == EUID)) || refuse_folder "a folder of user $owner"
  [[ "$mode" == 700 ]] || refuse_folder "a folder of mode $mode"
  [[ -f "$dir/$MARK" && ! -L "$dir/$MARK" ]] && mark | cmp -s - "$dir/$MARK" \
    || refuse_folder "a folder that this script has not made"
}

inspect_parents() { # whoever can write to one of them could put another folder into this one's place
  local parent="$dir" mode owner
  while [[ "$parent" != / ]]; do
    parent="$(dirname -- "$parent")"
    [[ -e "$parent" ]] || continue # somebody has cleaned up, and `down` still ends the processes
    read -r mode owner < <(stat -c '%a %u' -- "$parent")
    mode=$((8#$mode))
    # In a sticky folder everybody can write, but can rename nothing of anybody else's.
    if ((owner != 0 && owner != EUID)) || (((mode & 8#22) && !(mode & 8#1000))); then
      refuse "$dir: others can write to $parent, allowed: a place where they cannot"
    fi
  done
}

refuse_folder() { refuse "$dir: found $1, allowed: a new folder, or one that \`up\` has made"; }

readonly MARK=made-by-local_cluster

mark() { echo "a cluster of slurm/local_cluster.sh in $dir"; }

make_folder() {
  mkdir -m 0700 -- "$dir" # fails if anything is there, and follows no link
  mark >"$dir/$MARK"
  inspect
  mkdir "$dir"/{run,log,state,spool,database}
}

# --- daemons: started in the background, known by the file that holds their process number --------

start() { # NAME COMMAND...
  local name="$1" pid
  shift
  # Without standard input and in a session of its own, so that no terminal reaches it.
  setsid "$@" </dev/null >>"$dir/log/$name.out" 2>&1 &
  pid=$!
  disown "$pid"
  until is_daemon "$pid" "$1" || [[ -z "$(start_time "$pid")" ]]; do sleep 0.01; done
  echo "$pid $(start_time "$pid")" >"$dir/run/$name"
}

start_time() { # PID -> when it started, which with its number tells a process from any other
  # The name in the second field may hold spaces, so count from its closing bracket. A zombie has
  # ended.
  sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

is_daemon() { # PID PROGRAM: whether the process is this program, the caller's, and of this cluster
  local file
  [[ "$(stat -c %u "/proc/$1" 2>/dev/null)" == "$EUID" ]] || return 1
  file="$(readlink "/proc/$1/exe")" || return 1
  # Distributions install slurmctld-wlm and the like; an upgrade leaves "FILE (deleted)".
  [[ "${file##*/}" =~ ^"$2"(-[a-z0-9]+)?( \(deleted\))?$ ]] || return 1
  # slurmdbd is not told the folder in its command line, but all are in their environment.
  grep -zqxF "SLURM_CONF=$dir/slurm.conf" "/proc/$1/environ" 2>/dev/null
}

program_of() { # NAME OF A DAEMON -> its program
  if [[ " ${DAEMONS[*]} " == *" $1 "* ]]; then echo "$1"; else echo slurmd; fi
}

noted_pid() { # NAME -> the process that its file names, if that still runs, whatever it is
  local pid="" born=""
  [[ -f "$dir/run/$1" ]] || return 1
  read -r pid born <"$dir/run/$1" || true
  [[ "$pid" =~ ^[1-9][0-9]*$ && -n "$born" && "$(start_time "$pid")" == "$born" ]] || return 1
  echo "$pid"
}

pid_of() { # NAME -> its process number if it still runs
  local pid
  pid="$(noted_pid "$1")" && is_daemon "$pid" "$(program_of "$1")" || return 1
  echo "$pid"
}

inspect_pids() { # ends the script if a file of a daemon names a process that is none
  local name pid
  for name in "${DAEMONS[@]}" $(node_names); do
    if pid="$(noted_pid "$name")" && ! is_daemon "$pid" "$(program_of "$name")"; then
      refuse "$dir/run/$name: found process $pid, which is no $(program_of "$name") of this cluster"
    fi
  done
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
  remove
  exit 1
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
ClusterName=$CLUSTER_NAME
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
# Daemons, and srun, listen where the machine's name leads, which is loopback: see on_loopback.
CommunicationParameters=NoAddrCache,NoInAddrAny,NoCtldInAddrAny
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
  cat >"$dir/slurmdbd.conf" <<TEXT
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$1
CommunicationParameters=NoInAddrAny
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
  command -v apt-get >/dev/null || { say "install: needs apt-get"; exit 1; }
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
  local there=""
  umask 077
  if inspect; then
    inspect_pids
    there=yes
  fi
  [[ -d "$(dirname -- "$dir")" ]] || refuse "$dir: allowed: a path in a folder that is there"
  ((EUID == 0)) || { say "up: needs root"; exit 1; }
  if missing; then
    say "up: Slurm is not installed; run: slurm/local_cluster.sh install"
    exit 1
  fi
  if [[ -n "$there" ]] && all_up; then
    say "already up in $dir"
  else
    on_loopback
    down
    make_folder
    configure
    start_daemons
    listens_on_loopback
    say "up in $dir after ${SECONDS} s: $NODES nodes with $NODE_CPUS processors each"
  fi
  echo "export SLURM_CONF=$dir/slurm.conf"
}

on_loopback() { # goes on under the name "localhost" where the machine's name leads elsewhere
  local name
  name="$(hostname)"
  if getent ahostsv4 "$name" | awk '$1 !~ /^127\./ { other = 1 } END { exit other || !NR }'; then
    return
  fi
  if [[ "$name" == localhost ]] || ! unshare --uts true 2>/dev/null; then
    say "up: Slurm would listen where $name leads; put \"127.0.0.1 $name\" into /etc/hosts"
    exit 1
  fi
  # A name for this script and what it starts; the machine keeps its own.
  exec unshare --uts bash -c 'hostname localhost && exec "$@"' rename \
    bash "${BASH_SOURCE[0]}" up --dir "$dir"
}

listens_on_loopback() { # ends the cluster if somebody else could speak to one of its daemons
  local pids found
  pids="$(for name in "${DAEMONS[@]}" $(node_names); do pid_of "$name"; done | paste -sd '|')"
  found="$(ss -Hltunp | awk -v mine="pid=($pids)," \
    '$7 ~ mine && $5 !~ /^(127\.|\[::1\])/ { print $5, $7; exit }')"
  [[ -n "$found" ]] || return 0
  say "up: not on loopback alone: ${found:0:100}"
  remove
  exit 1
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
  sacctmgr --immediate add cluster "$CLUSTER_NAME" >>"$dir/log/sacctmgr.out" 2>&1 || true
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
  if inspect; then inspect_pids; fi
  remove
}

remove() {
  end_processes || { say "$dir: its processes do not end; left as it is"; exit 1; }
  rm -rf --one-file-system -- "$dir"
}

end_processes() { # daemons of this cluster, its job steps, and what runs in them
  # All at once and without asking: nothing that they hold outlives the folder.
  python3 - "$dir" "$CLUSTER_NAME" "$PATIENCE_S" slurmd slurmstepd "${DAEMONS[@]}" <<'PYTHON'
import os, re, signal, sys, time
from pathlib import Path

folder, cluster_name, patience_s, *programs = sys.argv[1:]
daemon = re.compile(rf"({'|'.join(programs)})(-[a-z0-9]+)?( \(deleted\))?")


def is_ours(process):
    if process.stat().st_uid != os.geteuid():
        return False
    variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
    if f"SLURM_CONF={folder}/slurm.conf" not in variables:
        return False
    # Slurm tells its jobs more than the configuration, which a person's shell has as well.
    in_job = f"SLURM_CLUSTER_NAME={cluster_name}" in variables
    return in_job or daemon.fullmatch(os.path.basename(os.readlink(process / "exe"))) is not None


def end(process):
    """End a process if it is of this cluster; return whether it was."""
    try:
        handle = os.pidfd_open(int(process.name))  # the number may go to another at any time
    except OSError:
        return False
    try:
        if is_ours(process):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            return True
    except OSError:
        pass  # gone, or not ours
    finally:
        os.close(handle)
    return False


def own_line():
    """Return the numbers of this process and of those that it comes from."""
    pid = os.getpid()
    while pid:
        yield str(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


spared = set(own_line())
deadline = time.monotonic() + float(patience_s)
while any([end(each) for each in Path("/proc").glob("[0-9]*") if each.name not in spared]):
    if time.monotonic() > deadline:
        sys.exit(1)
    time.sleep(0.02)
PYTHON
}

status() {
  local name pid whole=0
  if inspect; then inspect_pids; fi
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
  local command="${1:-}" folder="${NAPTS_SLURM_DIR:-$DEFAULT_DIR}"
  shift || usage
  while (($#)); do
    case "$1" in
      --dir) [[ -n "${2:-}" ]] || usage; folder="$2"; shift 2 ;;
      *) usage ;;
    esac
  done
  [[ "$NODES" =~ ^[1-9][0-9]?$ ]] \
    || refuse "NAPTS_SLURM_NODES: found $(printf '%.60q' "$NODES"), allowed: 1 to 99"
  case "$command" in
    install) install ;;
    up | down | status)
      find_folder "$folder"
      "$command"
      ;;
    *) usage ;;
  esac
}

main "$@"
