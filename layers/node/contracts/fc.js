// What Alibaba Cloud Function Compute gives event and HTTP handlers alike: context, environment, initializer.
//
// alibabacloud.com/help/en/functioncompute/fc-2-0/user-guide/context-3 (Context), …/function-initializers (Initializer),
// …/environment-variables.
'use strict';

const { Code } = require('../code.js');
const { invocation } = require('../exchange.js');
const { answerOf } = require('./calling.js');

const LEVELS = ['debug', 'info', 'warn', 'error'];
const QUALIFIER = 'LATEST';

function environment(load) {
  return {
    FC_FUNCTION_NAME: load.function,
    FC_FUNCTION_HANDLER: load.handler,
    FC_FUNCTION_MEMORY_SIZE: String(load.memory_mb),
    FC_FUNC_CODE_PATH: load.root,
    FC_QUALIFIER: QUALIFIER,
  };
}

/** The handler, once the initializer has run. An initializer that fails is a failure of the load. */
async function initialized(code, load) {
  const handler = await code.callable();
  if (load.initializer) {
    const initializer = await new Code(load.root, load.initializer).callable();
    await answerOf(initializer, [toContext(load, { headers: {} })]);
  }
  return handler;
}

function toContext(load, request) {
  const { env } = process;
  const { id } = invocation(load, request);
  return {
    requestId: id,
    credentials: {
      accessKeyId: env.ALIBABA_CLOUD_ACCESS_KEY_ID ?? '',
      accessKeySecret: env.ALIBABA_CLOUD_ACCESS_KEY_SECRET ?? '',
      securityToken: env.ALIBABA_CLOUD_SECURITY_TOKEN ?? '',
    },
    function: {
      name: load.function,
      handler: load.handler,
      memory: load.memory_mb,
      timeout: Math.ceil(load.timeout_ms / 1000),
      initializer: load.initializer ?? '',
    },
    service: {
      name: env.FC_SERVICE_NAME ?? '',
      logProject: '',
      logStore: '',
      qualifier: QUALIFIER,
      versionId: load.version,
    },
    region: env.FC_REGION ?? '',
    accountId: env.FC_ACCOUNT_ID ?? '',
    retryCount: 0,
    tracing: { openTracingSpanContext: '', openTracingSpanBaggages: {}, jaegerEndpoint: '' },
    logger: logger(id),
  };
}

/** Writes `TIME REQUEST-ID [level] text`; `setLogLevel` leaves out what is below. */
function logger(id) {
  let least = 0;
  const writer = (level, text) => (...words) => {
    if (LEVELS.indexOf(level) >= least) console[level](`${new Date().toISOString()} ${id} [${text}]`, ...words);
  };
  return {
    ...Object.fromEntries(LEVELS.map((level) => [level, writer(level, level)])),
    log: writer('info', 'info'),
    setLogLevel(level) {
      least = Math.max(0, LEVELS.indexOf(String(level).toLowerCase()));
    },
  };
}

module.exports = { environment, initialized, toContext };
