"""``payroc-async certify``: Payroc's test scenarios, run against UAT or the simulator, as evidence.

Payroc lets an integrator go live only after its test cases were run in its test environment.
Source: contract section 14.
"""
