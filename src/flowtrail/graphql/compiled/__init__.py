"""Compiled operations: what a document asks for becomes one Python coroutine (docs/decisions/compiled-operations.md).

Exact, or not at all. The functions call resolvers with the arguments that Strawberry would give them, and complete what they
return, for values of the types that they were made for. Whatever else they meet makes them raise, and graphql-core executes the
operation: errors, nulls and paths are always its own. Loaders remember what they read, so that it is not read again.

plans.py     what is compiled of a document, and an operation's variables
compiler.py  selections as the source of functions
writing.py   selections that PostgreSQL writes itself
fields.py    fields, their arguments and their values as expressions
running.py   what the functions call while they run
fallback.py  graphql-core's executor, for what could not be answered so
"""
