"""Definitions that have every kind of task, in every place where one can stand; to be killed anywhere."""

from __future__ import annotations

from tests.support.openworkflow import event

ALL = """
use:
  functions:
    own: {call: add, with: {n: '${ .n }'}}
  retries: {twice: {delay: {seconds: 2}, limit: {attempt: {count: 2}}}}
  extensions:
  - told: {extend: emit, before: [{note: {call: add, with: {n: 0}}}]}
do:
- first: {call: add, with: {n: '${ .n }'}, export: {as: '{first: .}'}, compensate: [{back: {call: undo}}]}
- loop:
    for: {each: n, in: '[$context.first, 20]'}
    do:
    - each: {call: add, with: {n: '${ $index }'}, output: {as: '. + $n'}}
    - nap: {wait: {seconds: 5}}
- both:
    fork:
      branches:
      - left: {do: [{l1: {call: own, with: {n: 1}}}, {l2: {wait: {seconds: 3}}}]}
      - right: {call: http, with: {method: post, endpoint: 'https://x.example/r', body: {a: 1}}}
- race: {fork: {compete: true, branches: [{slow: {wait: {seconds: 60}}}, {quick: {wait: {seconds: 1}}}]}}
- shaky:
    try: [{may: {call: shaky}}]
    catch: {retry: twice, do: [{given: {set: {given: up}}}]}
- turn: {switch: [{yes: {when: $context.first == 2, then: hears}}, {no: {then: end}}]}
- never: {raise: {error: {type: 'https://x.example/never', status: 500}}}
- tells: {emit: {event: {with: {source: 'https://x.example', type: told}}}}
- hears: {listen: {to: {one: {with: {type: news}}}}, then: works}
- works:
    listen: {to: {any: [], until: length == 2}}
    foreach: {do: [{w: {call: add, with: {n: '${ $item.n }'}}}], output: {as: .}}
- runs: {run: {shell: {command: 'echo hi'}}}
- boxed: {run: {container: {image: 'alpine:3', command: 'true'}}}
- scripted: {run: {script: {language: python, code: 'print(1)'}}}
- child: {run: {workflow: {namespace: test, name: other, version: '1.0.0', input: {a: 1}}}}
- loudly: {emit: {event: {with: {source: 'https://x.example', type: done}}}}
- ends: {set: {child: '${ $task.input.type }', context: '${ $context }'}}
"""
EVENTS = [event("news", 1), event("work", {"n": 1}), event("work", {"n": 2})]

# What is undone, the last first, and what undoing itself has of tasks.
UNDONE = """
do:
- first:
    call: add
    with: {n: 1}
    compensate: [{back: {call: undo}}, {rest: {wait: {seconds: 2}}}, {gone: {call: undo}}]
- both:
    fork:
      branches:
      - left: {call: add, with: {n: 1}, compensate: [{left_back: {call: undo}}]}
      - right: {do: [{r1: {call: add, with: {n: 2}, compensate: [{right_back: {call: undo}}]}}]}
- told:
    emit: {event: {with: {source: 'https://x.example', type: told}}}
    compensate: [{taken: {emit: {event: {with: {source: 'https://x.example', type: taken}}}}}]
- shaky:
    try: [{may: {call: shaky, compensate: [{may_back: {call: undo}}]}}]
    catch: {retry: {delay: {seconds: 2}, limit: {attempt: {count: 3}}}}
- fails: {raise: {error: {type: 'https://x.example/fails', status: 500}}}
"""
