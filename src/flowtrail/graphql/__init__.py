"""The GraphQL surface: one module for each noun, each type saying where its data comes from. The rules are in the modules below
it.
"""
