// Google's CloudEvent functions: (event), exported or registered with `functions.cloudEvent`. See framework.js.
'use strict';

module.exports = require('./framework.js').contract('cloudevent');
