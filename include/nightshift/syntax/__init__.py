"""Python read as syntax trees and never run: what names mean, and what of a module decides what a function returns."""
