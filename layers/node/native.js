// What Node has no function for: fork, and the system calls that a forked process needs. Knows no function and no host.
//
// Node forks no running heap by itself, for three reasons. Each has its answer here: the heap's pages are not inherited
// (V8 marks them MADV_DONTFORK; taken back before each fork), libuv's descriptors are shared (uv_loop_fork, made for
// this), and the threads of V8 are gone (--single-threaded: it gives them nothing to do; and `leave` waits for none).
'use strict';

const fs = require('fs');
const { address, decode, errno, load } = require(`./koffi/linux_${process.arch}/koffi.node`);

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const O_CLOEXEC = 0x80000;
const READABLE = 0o604; // what is printed: ours to open inside, and the host's, whoever it is there, to read
const MADV_DOFORK = 11;
const PR_SET_DUMPABLE = 4;
const SYS_PIDFD_OPEN = 434; // on every architecture
const POLLIN = 1;
const MSG_DONTWAIT = 0x40;
const P_ALL = 0;
const WEXITED_NOHANG_NOWAIT = 0x0100_0005;
const ECHILD = 10;
const TRIAL_MS = 10_000;
const ACTIVE_REQUESTS = 32; // in struct uv_loop_s, after data, active_handles and handle_queue: the same in all of libuv 1.x

// Node's own libuv is among these: the program exports it for addons.
const own = load(null);
const c = {
  fork: own.func('int fork()'),
  exit: own.func('void _exit(int)'),
  getpid: own.func('int getpid()'),
  setsid: own.func('int setsid()'),
  prctl: own.func('int prctl(int, ulong, ulong, ulong, ulong)'),
  madvise: own.func('int madvise(uint64_t, uint64_t, int)'),
  wait4: own.func('int wait4(int, _Out_ int *, int, void *)'),
  waitid: own.func('int waitid(int, int, void *, int)'),
  syscall: own.func('long syscall(long, long, long)'),
  poll: own.func('int poll(void *, ulong, int)'),
  socket: own.func('int socket(int, int, int)'),
  connect: own.func('int connect(int, void *, uint)'),
  pipe2: own.func('int pipe2(void *, int)'),
  sendmsg: own.func('long sendmsg(int, void *, int)'),
  dup2: own.func('int dup2(int, int)'),
  close: own.func('int close(int)'),
  send: own.func('long send(int, void *, ulong, int)'),
  recv: own.func('long recv(int, void *, ulong, int)'),
  loopFork: own.func('int uv_loop_fork(void *)'),
};
const loop = own.func('void *uv_default_loop()')();
const heapRanges = rangesAround(/ \[(?:vvar|vdso|vsyscall)/);

/** [from, to] of all memory but the mappings that match, which never move: one call covers a range, holes and all. */
function rangesAround(special) {
  const ranges = [];
  let from = 0x10000;
  let end = from;
  for (const line of fs.readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const bounds = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (!bounds) continue;
    const [first, last] = bounds.slice(1).map((hex) => parseInt(hex, 16));
    if (special.test(line)) {
      ranges.push([from, first]);
      from = last;
    }
    end = last;
  }
  if (from < end) ranges.push([from, end]);
  return ranges.filter(([first, last]) => first < last && last <= Number.MAX_SAFE_INTEGER);
}

/** As fork(2). Call it outside of libuv's poll phase (setImmediate), whose descriptor the child replaces. */
function fork() {
  for (const [from, to] of heapRanges) c.madvise(from, to - from, MADV_DOFORK);
  const pid = c.fork();
  if (pid !== 0) return pid;
  if (c.loopFork(loop) !== 0) c.exit(1);
  Object.defineProperty(process, 'pid', { value: c.getpid() }); // Node asks the system once, at its start
  return 0;
}

/** End this process at once. Node's own end would wait for V8's threads, which a forked process has not. */
const leave = (code) => c.exit(code);

/** Wait until process `pid` has ended, or `fd` (-1: none) has something to read, or so many milliseconds: true for the first. */
function ended(pid, fd, ms = -1) {
  const watch = Number(c.syscall(SYS_PIDFD_OPEN, pid, 0));
  if (watch < 0) throw new Error(`pidfd_open: error ${errno()}`);
  const wanted = Buffer.alloc(16); // two struct pollfd
  wanted.writeInt32LE(watch, 0);
  wanted.writeInt16LE(POLLIN, 4);
  wanted.writeInt32LE(fd, 8);
  wanted.writeInt16LE(POLLIN, 12);
  while (c.poll(wanted, 2, ms) < 0); // a signal came
  c.close(watch);
  return wanted.readInt16LE(6) !== 0;
}

/** Whether a fork of this process runs, on this kernel and in this Node: one is made that uses its heap and leaves. */
function canFork() {
  const pid = fork();
  if (pid === 0) {
    const used = Array.from({ length: 1000 }, (_, number) => ({ number }));
    leave(used.length === 1000 && fs.existsSync('/') ? 0 : 1);
  }
  if (pid < 0) return false;
  if (!ended(pid, -1, TRIAL_MS)) process.kill(pid, 'SIGKILL');
  const { code, signal } = reap(pid);
  return code === 0 && signal === 0;
}

/** How process `pid`, which has ended, did: `{code, signal, cpuMs, peakKb}`. */
function reap(pid) {
  const status = [0];
  const usage = Buffer.alloc(144); // struct rusage
  c.wait4(pid, status, 0, usage);
  const ms = (at) => Number(usage.readBigInt64LE(at)) * 1000 + Number(usage.readBigInt64LE(at + 8)) / 1000;
  const signal = status[0] & 0x7f;
  return { code: signal ? 0 : (status[0] >> 8) & 0xff, signal, cpuMs: ms(0) + ms(16), peakKb: Number(usage.readBigInt64LE(32)) };
}

/** Whether something that libuv was asked for is not done yet, by one of its threads or by the kernel. */
const isWorking = () => decode(loop, ACTIVE_REQUESTS, 'uint32_t') > 0;

/** Reap whatever else has ended. */
function reapAll() {
  while (c.wait4(-1, [0], 1, null) > 0);
}

/** Whether this process has children, ended ones among them. */
const hasChildren = () => c.waitid(P_ALL, 0, Buffer.alloc(128), WEXITED_NOHANG_NOWAIT) === 0 || errno() !== ECHILD;

/** A connection to the socket at `path`, which programs that are started do not inherit. */
function dial(path) {
  const socket = c.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const name = Buffer.from(`\x01\0${path}\0`, 'latin1'); // struct sockaddr_un
  if (socket < 0 || c.connect(socket, name, name.length) !== 0) throw new Error(`${path}: error ${errno()}`);
  return socket;
}

/** The writing end of a pipe, whose reading end goes to whoever listens at `path`. */
function pipeTo(path) {
  const socket = dial(path);
  const ends = new Int32Array(2);
  if (c.pipe2(ends, O_CLOEXEC) !== 0) throw new Error(`a pipe for output: error ${errno()}`);
  const [reading, writing] = ends;
  fs.fchmodSync(reading, READABLE);
  const sent = sendDescriptor(socket, reading);
  c.close(reading);
  c.close(socket);
  if (!sent) throw new Error(`${path}: error ${errno()}`);
  return writing;
}

function sendDescriptor(socket, fd) {
  const rights = Buffer.alloc(24); // struct cmsghdr with one descriptor
  rights.writeBigUInt64LE(20n, 0);
  [SOL_SOCKET, SCM_RIGHTS, fd].forEach((number, index) => rights.writeInt32LE(number, 8 + 4 * index));
  const byte = Buffer.from('\n');
  const part = new BigUint64Array([address(byte), 1n]); // struct iovec
  const message = new BigUint64Array([0n, 0n, address(part), 1n, address(rights), BigInt(rights.length), 0n]); // struct msghdr
  return Number(c.sendmsg(socket, message, 0)) === 1;
}

/** Standard output and error are this descriptor from now on. */
function redirectOutput(fd) {
  c.dup2(fd, 1);
  c.dup2(fd, 2);
  c.close(fd);
}

/** Write a short text to a connected socket, past every queue of Node's. */
function send(fd, text) {
  const bytes = Buffer.from(text, 'utf8');
  c.send(fd, bytes, bytes.length, 0);
}

/** Drop what came on a socket; false once its peer has hung up. */
function drain(fd) {
  const bytes = Buffer.alloc(4096);
  let got;
  do got = Number(c.recv(fd, bytes, bytes.length, MSG_DONTWAIT));
  while (got > 0);
  return got < 0;
}

/** Whether other processes of this user may look into this one through /proc. */
const setDumpable = (on) => c.prctl(PR_SET_DUMPABLE, on ? 1 : 0, 0, 0, 0);

module.exports = { canFork, close: c.close, dial, drain, ended, fork, hasChildren, isWorking, leave, pipeTo, reap, reapAll, redirectOutput, send, setDumpable, setsid: c.setsid };
