<?php
// The page that php-cgi serves before any request of somebody's: it compiles nothing and says nothing.
