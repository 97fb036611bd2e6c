// Google's HTTP functions: (req, res), exported or registered with `functions.http`. See framework.js.
'use strict';

module.exports = require('./framework.js').contract('http');
